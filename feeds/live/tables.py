"""Any table of a live store or of a run's folder, as rows of its contract.

    from feeds.live.tables import read_table, read_frame

    read_frame("open_positions_lots", stack=".run/live/live")
    read_table("trade_match_history", run="runs/demo", where=["symbol=ALFAUSD"], limit=20)

Columns are those of files: maps are JSON text, features a column each.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feeds.live.place import place
from jobs.store import reading
from jobs.store.client import open_client
from jobs.store.place import StorePlace
from schemas.table import ARROW_TYPES, Kind, Table, Type, file_columns
from schemas.tables import OLD_NAMES, TABLES
from udfs.errors import ConfigError, nearest
from udfs.frames import OHLCV
from udfs.money import plain_text, units

if TYPE_CHECKING:
    from pandas import DataFrame

FEATURES = "features"
BOOLEANS = {"true": True, "false": False}


class Condition(NamedTuple):
    """A column that must have a value; None is null."""

    column: str
    value: object

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it does in this row."""
        return bool(row[self.column] == self.value)


def read_table(
    name: str,
    *,
    run: str | Path | None = None,
    stack: str | Path | None = None,
    store: str | None = None,
    database: str | None = None,
    where: Sequence[str] = (),
    limit: int | None = None,
) -> pa.Table:
    """The rows of a table, in its order: of a run's folder, a stack's, or a store by its address.

    `where` are conditions COLUMN=VALUE that all hold; `limit` gives the last rows only. A warning
    says where Kafka has rows that are not committed yet, which are left out.
    ConfigError where there is no such table, column or place.
    """
    contract = table_of(name)
    conditions = [condition(contract, text) for text in where]
    if run is not None:
        return _ordered(contract, _kept(_run_table(contract, Path(run)), conditions), limit)
    at = place(None, None if stack is None else Path(stack), store, database)
    return read_place(at, contract, conditions, limit, warnings.warn)


def read_frame(
    name: str,
    *,
    run: str | Path | None = None,
    stack: str | Path | None = None,
    store: str | None = None,
    database: str | None = None,
    where: Sequence[str] = (),
    limit: int | None = None,
) -> "DataFrame":
    """The same as a pandas data frame."""
    found = read_table(
        name, run=run, stack=stack, store=store, database=database, where=where, limit=limit
    )
    return found.to_pandas()


def read_place(
    at: StorePlace,
    contract: Table,
    conditions: Sequence[Condition] = (),
    limit: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> pa.Table:
    """As `read_table`, of a database; `note` is told of rows that are not shown yet."""
    with open_client(at, committed=True) as client:
        reading.check(client, contract)
        waiting = client.uncommitted(contract)
        if waiting:
            note(
                f"{contract.name}: up to {waiting:,} rows of the last seconds are not shown: jobs "
                "commit what they have written with their next checkpoint"
            )
        if contract.kind is Kind.HISTORY and limit is not None:

            def enough(rows: Sequence[reading.Record]) -> bool:
                kept = (row for row in rows if all(one.holds(row) for one in conditions))
                return sum(1 for _ in kept) >= limit

            rows = reading.arrow(contract, reading.tail(client, contract, enough))
        else:
            rows = reading.read(client, contract)
    return _ordered(contract, file_form(contract, _kept(rows, conditions)), limit)


def follow_place(
    at: StorePlace,
    contract: Table,
    conditions: Sequence[Condition],
    note: Callable[[str], None],
) -> Iterator[tuple[pa.Table, list[bool]]]:
    """Rows as they come from now on, for ever, and which of them were deleted from the table."""
    with open_client(at, retry_s=None, note=note, committed=True) as client:
        reading.check(client, contract)
        for changes in reading.follow(client, contract, reading.end(client, contract)):
            kept = [one for one in changes if all(term.holds(one.row) for term in conditions)]
            rows = reading.arrow(contract, [one.row for one in kept])
            yield file_form(contract, rows), [one.deleted for one in kept]


def table_of(name: str) -> Table:
    """The contract of that name; ConfigError where there is none."""
    if name not in TABLES:
        now = [old.now for old in OLD_NAMES if old.old == name]
        hint = f"; the column of that name is called {now[0]!r} here" if now else ""
        raise ConfigError(
            f"{name!r} is no table{hint or nearest(name, TABLES)}; `tradeflow tables` lists them"
        )
    return TABLES[name]


def condition(contract: Table, text: str) -> Condition:
    """A condition on a column, its value of the column's type; ConfigError where it is none."""
    name, equals, value = text.partition("=")
    types = {column.name: column.type for column in contract.columns}
    if not equals:
        raise ConfigError(f"--where: {text!r} is no COLUMN=VALUE, such as symbol=BTCUSD")
    if name not in types:
        raise ConfigError(
            f"--where: {contract.name} has no column {name!r}{nearest(name, types)}; it has "
            f"{', '.join(types)}"
        )
    kind = types[name]
    try:
        return Condition(name, None if value == "" else _value(kind, value))
    except (ValueError, InvalidOperation, KeyError):
        raise ConfigError(f"--where: {name}={value!r} is no {kind.value} of {name}") from None


def _value(kind: Type, text: str) -> object:
    if kind is Type.DECIMAL:
        return Decimal(text)
    if kind in (Type.BIGINT, Type.INT):
        return int(text)
    if kind is Type.DOUBLE:
        return float(text)
    return BOOLEANS[text.lower()] if kind is Type.BOOLEAN else text


def _run_table(contract: Table, folder: Path) -> pa.Table:
    path = folder / f"{contract.name}.parquet"
    if not folder.is_dir():
        raise ConfigError(f"--run: {folder} is no folder; name one such as runs/demo")
    if not path.is_file():
        there = sorted(one.stem for one in folder.glob("*.parquet"))
        hint = "; --trace writes every table" if (folder / "manifest.json").exists() else ""
        known = ", ".join(there) or "no tables"
        raise ConfigError(f"--run: {folder} has no table {contract.name}; it has {known}{hint}")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a Parquet file that can be read: {error}") from None


def _kept(rows: pa.Table, conditions: Sequence[Condition]) -> pa.Table:
    for name, value in conditions:
        held = rows[name].to_pylist() if name in rows.column_names else [None] * rows.num_rows
        rows = rows.filter(pa.array([one == value for one in held], pa.bool_()))
    return rows


def file_form(contract: Table, rows: pa.Table) -> pa.Table:
    """Rows with a store's columns as files have them."""
    features: list[str] | None = None
    built: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    if FEATURES in rows.column_names:
        maps = [dict(pairs or ()) for pairs in rows[FEATURES].to_pylist()]
        names = {name for one in maps for name in one}
        features = [name for name in OHLCV if name in names]
        features += sorted(names - set(OHLCV))
        for name in features:
            built[name] = pa.array([one.get(name) for one in maps], pa.float64())
    arrays, names_in_order = [], []
    for column in file_columns(contract, features):
        if column.type is Type.MAP_DECIMAL:
            texts = [_map_text(pairs) for pairs in built[column.name].to_pylist()]
            built[column.name] = pa.array(texts, pa.string())
        arrays.append(built[column.name])
        names_in_order.append(column.name)
    return pa.table(arrays, names=names_in_order)


def _map_text(pairs: Sequence[tuple[str, Decimal]] | None) -> str | None:
    """A map of decimals as files show it."""
    if pairs is None:
        return None
    shown = {name: plain_text(units(amount)) for name, amount in pairs if amount}
    return json.dumps(shown, separators=(",", ":"), sort_keys=True)


def _ordered(contract: Table, rows: pa.Table, limit: int | None) -> pa.Table:
    """In the table's order, or that of arrival where it has none; the last ones only."""
    keys = [
        (term.removesuffix(" DESC"), "descending" if term.endswith(" DESC") else "ascending")
        for term in contract.order
    ]
    if keys and rows.num_rows > 1:
        # What is equal stays in the order of arrival.
        numbered = rows.append_column("#", pa.array(range(rows.num_rows), pa.int64()))
        order = pc.sort_indices(numbered, sort_keys=[*keys, ("#", "ascending")])
        rows = rows.take(order)
    return rows if limit is None else rows.slice(max(0, rows.num_rows - limit))


def as_contract(contract: Table, rows: pa.Table) -> pa.Table:
    """Rows in the types of the contract's file, for Parquet."""
    own = {column.name: ARROW_TYPES[column.type] for column in contract.columns}
    return pa.table(
        [rows[name].cast(own.get(name, rows[name].type)) for name in rows.column_names],
        names=rows.column_names,
    )
