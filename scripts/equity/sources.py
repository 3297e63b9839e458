"""Where matches come from: a run's folder, Parquet or CSV, a data frame, the tables of a run."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from jobs.csv_files import check_twice, is_csv, read_text_csv
from jobs.run_folder import MANIFEST
from jobs.values import value_text
from schemas.tables import OLD_NAMES
from udfs.errors import ConfigError, nearest

MATCHES = ("trade_match_history", "paper_trade_match_history")
EQUITY, SNAPSHOT = "equity_daily", "unrealized_snapshot"
KEYS = ("account_id", "strategy_id", "symbol", "currency", "quote")
MATCH_COLUMNS = (
    *KEYS, "match_id", "matched_qty", "buy_price", "sell_price", "realized_pnl", "fees",
    "net_pnl", "other_fees", "open_ts", "match_ts",
)  # fmt: skip
EQUITY_COLUMNS = (*KEYS, "day", "realized", "fees", "unrealized", "equity")
SNAPSHOT_COLUMNS = (*KEYS, "unrealized", "unrealized_pnl", "ts")


class Source(NamedTuple):
    """Tables with the columns that are used, as they were found.

    `label` names the source in messages; `config` is the run's configuration as its manifest has
    it, None where there is no manifest or none in it.
    """

    label: str
    matches: pa.Table
    equity: pa.Table | None
    snapshot: pa.Table | None
    config: Mapping[str, Any] | None


def find(source: Any) -> Source:
    """What `source` holds; ConfigError where that is nothing to work with."""
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source).expanduser())
    if isinstance(source, Mapping):
        return _from_tables(source)
    return Source(MATCHES[0], table_of(source, MATCHES[0], MATCH_COLUMNS), None, None, None)


def read(given: Any, name: str, columns: Sequence[str]) -> pa.Table:
    """A table given as a path (also a run's folder that holds it) or as a frame."""
    if not isinstance(given, str | os.PathLike):
        return table_of(given, name, columns)
    path = Path(given).expanduser()
    if not path.exists():
        raise ConfigError(f"{name}: {path}: no such file or folder")
    if path.is_dir():
        path = _inside(path, name) or path
    return _read_file(path, columns)


def _from_tables(tables: Mapping[str, Any]) -> Source:
    name = next((name for name in MATCHES if name in tables), None)
    if name is None:
        raise ConfigError(
            f"the tables given lack {MATCHES[0]!r}; there are {', '.join(map(str, tables))}"
        )
    found = {
        one: table_of(tables[one], one, columns) if tables.get(one) is not None else None
        for one, columns in ((EQUITY, EQUITY_COLUMNS), (SNAPSHOT, SNAPSHOT_COLUMNS))
    }
    matches = table_of(tables[name], name, MATCH_COLUMNS)
    return Source(name, matches, found[EQUITY], found[SNAPSHOT], None)


def _from_path(path: Path) -> Source:
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file or folder; name a run's folder or a {MATCHES[0]}.parquet"
        )
    if not path.is_dir():
        return Source(str(path), _read_file(path, MATCH_COLUMNS), None, None, None)
    matches = next((file for name in MATCHES if (file := _inside(path, name))), None)
    if matches is None:
        return Source(str(path), _read_parts(path), None, None, None)
    equity, snapshot = _inside(path, EQUITY), _inside(path, SNAPSHOT)
    return Source(
        str(path),
        _read_file(matches, MATCH_COLUMNS),
        _read_file(equity, EQUITY_COLUMNS) if equity else None,
        _read_file(snapshot, SNAPSHOT_COLUMNS) if snapshot else None,
        _config(path / MANIFEST),
    )


def _inside(folder: Path, name: str) -> Path | None:
    """The table of a name in a folder: a Parquet file, a folder of them, or CSV."""
    places = (folder / f"{name}{ending}" for ending in (".parquet", "", ".csv", ".csv.gz"))
    return next((place for place in places if place.exists()), None)


def _read_parts(folder: Path) -> pa.Table:
    """A folder that is no run's: the Parquet files in it are parts of one table of matches."""
    if next(folder.rglob("*.parquet"), None) is None or _runs_in(folder):
        runs = _runs_in(folder)
        hint = f"; did you mean {runs[0]}?" if runs else ""
        raise ConfigError(f"{folder}: no {MATCHES[0]}.parquet in this folder{hint}")
    return _read_file(folder, MATCH_COLUMNS)


def _runs_in(folder: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}"))


def _read_file(path: Path, columns: Sequence[str]) -> pa.Table:
    if not path.is_dir() and is_csv(str(path)):
        return _named(read_text_csv(str(path), columns), columns)
    try:
        if not path.is_dir():
            pq.read_schema(path)  # its errors are shorter
        data = pa.dataset.dataset(str(path), format="parquet", partitioning="hive")
        if path.is_dir():
            schema = _common_schema(data)
            data = pa.dataset.dataset(str(path), schema, "parquet", partitioning="hive")
        names = data.schema.names
        check_twice(str(path), names, columns)
        table = data.to_table(columns=[name for name in columns if name in names])
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not Parquet that can be read: {error} (a file is read as CSV where its name "
            "ends in .csv, .csv.gz or .txt)"
        ) from None
    return table.replace_schema_metadata({b"columns": "\n".join(names).encode()})


def _common_schema(data: Any) -> pa.Schema:
    """What all files of a folder fit: pandas gives each the precision that its own rows need."""
    wide = []
    for schema in [data.schema, *(part.physical_schema for part in data.get_fragments())]:
        for place, field in enumerate(schema):
            if pa.types.is_decimal(field.type):
                fits = field.type.scale <= 18 and field.type.precision - field.type.scale <= 20
                kind = pa.decimal128(38, 18) if fits else pa.decimal256(76, 38)
                schema = schema.set(place, field.with_type(kind).with_nullable(True))
        wide.append(schema.remove_metadata())
    return pa.unify_schemas(wide, promote_options="permissive")


def _named(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The wanted columns that there are, knowing the names of all, for messages."""
    kept = table.select([name for name in columns if name in table.column_names])
    return kept.replace_schema_metadata({b"columns": "\n".join(table.column_names).encode()})


def table_of(frame: Any, name: str, columns: Sequence[str]) -> pa.Table:
    """A pandas or polars data frame, or an Arrow table, with the columns that are used."""
    if hasattr(frame, "to_arrow"):
        frame = frame.to_arrow()
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if isinstance(frame, pa.Table):
        check_twice(name, frame.column_names, columns)
        return _named(frame, columns)
    if not hasattr(frame, "columns") or not hasattr(frame, "reset_index"):
        raise ConfigError(
            f"{name} is a {type(frame).__name__}; give a path, a pandas data frame or an Arrow "
            "table"
        )
    if any(index in columns for index in frame.index.names):
        frame = frame.reset_index()
    present = [str(column) for column in frame.columns]
    check_twice(name, present, columns)
    wanted = [(text, frame[c]) for c, text in zip(frame.columns, present, strict=True)
              if text in columns]  # fmt: skip
    table = pa.table({text: _array(series) for text, series in wanted})
    return table.replace_schema_metadata({b"columns": "\n".join(present).encode()})


def _array(series: Any) -> pa.Array:
    """A column; objects are tried as decimals first, ones of mixed types become text."""
    if series.dtype == object:
        try:  # 0.3 s instead of 1.2 s for 850,000 decimals whose type Arrow has to find out
            first = next((value for value in series if value is not None), None)
            if type(first).__name__ == "Decimal":
                return pa.array(series, pa.decimal128(38, 18), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        values = [getattr(value, "item", lambda value=value: value)() for value in series]
        return pa.array([value_text(value) for value in values], pa.string())


def require(table: pa.Table, label: str, *names: str) -> str:
    """The first of `names` that the table has; ConfigError naming what there is instead."""
    for name in names:
        if name in table.column_names:
            return name
    there = (table.schema.metadata or {}).get(b"columns", b"").decode().split("\n")
    renamed = {old.now: old.old for old in OLD_NAMES if old.old in there}
    hint = next((f" (it is called {renamed[n]!r} there)" for n in names if n in renamed), "")
    raise ConfigError(
        f"{label}: column {' or '.join(map(repr, names))} is missing"
        f"{hint or nearest(names[0], there)}; it has {', '.join(filter(None, there)) or 'none'}"
    )


def _config(manifest: Path) -> Mapping[str, Any] | None:
    if not manifest.exists():
        return None
    try:
        config = json.loads(manifest.read_text(encoding="utf-8")).get("config")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{manifest}: not the manifest of a run: {error}") from None
    return config if isinstance(config, Mapping) else None
