"""Latest tables, made again from history, compared with what the store has, and mended."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from feeds.live import books
from jobs import positions
from jobs.store import reading
from jobs.store.client import Client, Writing
from schemas.config import Config
from schemas.market import INDICATOR_HISTORY, INDICATOR_LATEST
from schemas.signals import STRATEGY_SIGNAL_HISTORY, STRATEGY_SIGNAL_LATEST
from schemas.table import MAPS, Table
from schemas.trading import OPEN_POSITIONS_LOTS, OPEN_POSITIONS_ROLLUP, REALIZED_PNL_LATEST
from udfs.errors import ConfigError, Refusal, nearest

ATTEMPTS = 5
SETTLE_S = 1.0
# Written anew with every calculation, and so not the same after a restart.
CLOCKS = frozenset({"calc_ts"})
MISSING, EXTRA, DIFFERENT = "missing", "extra", "different"
Row = Mapping[str, Any]
Key = tuple[Any, ...]


class Difference(NamedTuple):
    """A row that is not as history says: missing, extra, or with other values.

    `columns` are (name, in the store, right) of those that differ.
    """

    kind: str
    key: Key
    columns: tuple[tuple[str, Any, Any], ...] = ()


class Rebuilt(NamedTuple):
    """What a rebuild found. `note` is what history leaves open, or empty."""

    rows: int
    differences: list[Difference]
    note: str


class Made(NamedTuple):
    """The rows that a table should have."""

    rows: list[Row]
    note: str = ""


class Recipe(NamedTuple):
    """How a latest table is made, and of which tables."""

    table: Table
    inputs: Sequence[Table]
    make: Callable[[Client, Config], Made]


def rebuild(client: Client, config: Config, name: str, dry_run: bool) -> Rebuilt:
    """Compare a latest table with what history gives, and mend it unless `dry_run`.

    Refusal where its inputs do not stop changing: then its writer is at work.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"{name!r} is not a table that can be rebuilt{nearest(name, RECIPES)}; these are: "
            f"{', '.join(RECIPES)}"
        )
    recipe = RECIPES[name]
    reading.check(client, recipe.table)
    for _ in range(ATTEMPTS):
        before = _ends(client, recipe)
        made = recipe.make(client, config)
        right = {_key(recipe.table, row): _plain(recipe.table, row) for row in made.rows}
        found = compare(recipe.table, right, _stored(client, recipe.table))
        if found:
            # A writer tells its facts first, and what it makes of them a moment later.
            time.sleep(SETTLE_S)
            again = compare(recipe.table, right, _stored(client, recipe.table))
            found = [one for one in again if one in found]
        if _ends(client, recipe) == before:
            break
    else:
        raise Refusal(
            f"{name}: its history changes while it is read; try again when nothing is fed"
        )
    if found and not dry_run:
        _mend(client, recipe.table, right, found)
    return Rebuilt(len(right), found, made.note)


def compare(table: Table, right: Mapping[Key, Row], stored: Mapping[Key, Row]) -> list[Difference]:
    """How the stored rows differ from the right ones, by key."""
    found = []
    for key in sorted(right.keys() | stored.keys()):
        if key not in stored:
            found.append(Difference(MISSING, key))
        elif key not in right:
            if not _is_unfinished(table, stored[key], None):
                found.append(Difference(EXTRA, key))
        elif not _is_unfinished(table, stored[key], right[key]):
            columns = tuple(
                (name, stored[key][name], right[key][name])
                for name in table.names
                if name not in CLOCKS and stored[key][name] != right[key][name]
            )
            if columns:
                found.append(Difference(DIFFERENT, key, columns))
    return found


def _is_unfinished(table: Table, stored: Row, right: Row | None) -> bool:
    """Whether a row is of a bar that is not final yet, of which history says nothing."""
    if table is not INDICATOR_LATEST or stored["final"]:
        return False
    return right is None or bool(stored["ts"] > right["ts"])


def _ends(client: Client, recipe: Recipe) -> list[int]:
    return [reading.end(client, table) for table in recipe.inputs]


def _stored(client: Client, table: Table) -> dict[Key, Row]:
    rows = reading.read(client, table).to_pylist()
    return {_key(table, row): _plain(table, row) for row in rows}


def _key(table: Table, row: Row) -> Key:
    return tuple(row[name] for name in table.key)


def _plain(table: Table, row: Row) -> Row:
    """A row with maps as dicts, whichever way they came."""
    maps = {column.name for column in table.columns if column.type in MAPS}
    return {name: _map(row[name]) if name in maps else row[name] for name in table.names}


def _map(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {name: Decimal(amount) for name, amount in json.loads(value).items()}
    return dict(value or ())


def _mend(
    client: Client, table: Table, right: Mapping[Key, Row], found: Sequence[Difference]
) -> None:
    names = [column.name for column in table.stored]
    rows = [[right[one.key][name] for name in names] for one in found if one.kind != EXTRA]
    client.write(Writing(table, rows))
    client.write(Writing(table, [one.key for one in found if one.kind == EXTRA], delete=True))


def _of_books(rows: Callable[..., list[dict[str, Any]]]) -> Callable[[Client, Config], Made]:
    def make(client: Client, config: Config) -> Made:
        found = books.read_books(client, config)
        note = ""
        if found.other_matches:
            note = (
                f"{found.other_matches} matches are not those of history: in which order late "
                "fills were booked is not told"
            )
        return Made(list(rows(found.books, config.run.id)), note)

    return make


def _signals(client: Client, config: Config) -> Made:
    rows = reading.log(client, STRATEGY_SIGNAL_HISTORY)
    newest = books.newest(rows, STRATEGY_SIGNAL_LATEST.key, "signal_ts")
    return Made([{**row, "last_updated": row["signal_ts"]} for row in newest.values()])


def _indicators(client: Client, config: Config) -> Made:
    rows = reading.log(client, INDICATOR_HISTORY)
    return Made(list(books.newest(rows, INDICATOR_LATEST.key, "ts").values()))


RECIPES: Mapping[str, Recipe] = {
    recipe.table.name: recipe
    for recipe in (
        Recipe(OPEN_POSITIONS_LOTS, books.INPUTS, _of_books(positions.lot_rows)),
        Recipe(OPEN_POSITIONS_ROLLUP, books.INPUTS, _of_books(positions.rollup_rows)),
        Recipe(REALIZED_PNL_LATEST, books.INPUTS, _of_books(positions.realized_rows)),
        Recipe(STRATEGY_SIGNAL_LATEST, (STRATEGY_SIGNAL_HISTORY,), _signals),
        Recipe(INDICATOR_LATEST, (INDICATOR_HISTORY,), _indicators),
    )
}
