"""Which columns of a file are which of a bar's: by a mapping that is given, else by their names."""

from collections.abc import Sequence
from typing import NamedTuple

from udfs.errors import ConfigError, nearest

PRICES = ("open", "high", "low", "close", "volume")
FIELDS = ("symbol", "ts", *PRICES)
NONE = "none"  # volume=none: the file has no volumes, all are 0
NAMES = {
    "symbol": {"symbol", "ticker", "pair", "instrument", "tic"},
    "ts": {
        "ts", "time", "timestamp", "date", "datetime", "date time", "open time", "opentime",
        "unix", "unix time", "unix timestamp", "mts", "gmt time", "utc time", "time utc",
    },
    "open": {"open", "o", "open price", "px open"},
    "high": {"high", "h", "high price", "px high"},
    "low": {"low", "l", "low price", "px low"},
    "close": {"close", "c", "close price", "last", "px last"},
    "volume": {"volume", "v", "vol", "base volume"},
}  # fmt: skip


class Mapping(NamedTuple):
    """One `--map FIELD=COLUMN`: a column's name or its number from 1."""

    field: str
    column: str


class Columns(NamedTuple):
    """Numbers of columns from 0. Several `ts` are joined; `volume` None where there is none."""

    ts: tuple[int, ...]
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    symbol: int | None

    @property
    def prices(self) -> tuple[int, ...]:
        """Those of the numbers, in the order of a bar."""
        found = (self.open, self.high, self.low, self.close)
        return found if self.volume is None else (*found, self.volume)


def parse_mapping(options: Sequence[str]) -> tuple[Mapping, ...]:
    """`--map` options as values. ConfigError where one is not FIELD=COLUMN, or given twice."""
    found: dict[str, Mapping] = {}
    for option in options:
        field, equals, column = option.partition("=")
        if not equals or not column:
            raise ConfigError(f"--map {option!r}: write FIELD=COLUMN, such as ts=Date or open=2")
        if field not in FIELDS:
            raise ConfigError(
                f"--map {option!r}: {field!r} is none of {', '.join(FIELDS)}"
                f"{nearest(field, FIELDS)}"
            )
        if field in found:
            raise ConfigError(f"--map {option!r}: {field} is given twice")
        found[field] = Mapping(field, column)
    return tuple(found.values())


def find_columns(source: str, names: Sequence[str], mapping: Sequence[Mapping]) -> Columns:
    """Columns by the mapping, and those that it lacks by their names in the header.

    `names` are empty texts where there is no header. ConfigError where a column is missing or may
    be one of several, with what to give.
    """
    given = {one.field: one.column for one in mapping}
    found: dict[str, tuple[int, ...]] = {}
    problems = []
    for field in FIELDS:
        if field in given:
            found[field] = _given(source, field, given[field], names)
            continue
        candidates = _named(field, names)
        found[field] = candidates[:1]
        if len(candidates) > 1:
            shown = " or ".join(repr(names[at]) for at in candidates)
            problems.append(f"{field} may be column {shown}")
        elif not candidates and field != "symbol":
            problems.append(f"no column is named like {field}")
    if problems:
        raise ConfigError(
            f"{source}: {'; '.join(problems)}; give {_advice(problems)} with the names or the "
            f"numbers (from 1) of the columns{_with_names(names)}"
        )
    prices = (found[name][0] for name in PRICES[:4])
    volume, symbol = (next(iter(found[name]), None) for name in ("volume", "symbol"))
    return Columns(found["ts"], *prices, volume=volume, symbol=symbol)


def _advice(problems: Sequence[str]) -> str:
    several = [problem.split()[0] for problem in problems if " may be " in problem]
    if several:
        joins = " (ts=Date+Time joins two columns)" if "ts" in several else ""
        return " ".join(f"--map {field}=..." for field in several) + joins
    if len(problems) == 1 and problems[0].endswith("volume"):
        return "--map volume=none, or --map volume=..."
    return "--map ts=... --map open=..."


def _with_names(names: Sequence[str]) -> str:
    shown = ", ".join(name.strip() for name in names)
    return f" (it has {shown})" if any(names) else f" (it has {len(names)} and no header)"


def _given(source: str, field: str, column: str, names: Sequence[str]) -> tuple[int, ...]:
    """The numbers of a column that a mapping names; none for NONE."""
    if field == "volume" and column == NONE:
        return ()
    at = _number(column, names)
    if at is not None:
        return (at,)
    parts = [_number(part, names) for part in column.split("+")]
    if field == "ts" and len(parts) > 1 and None not in parts:
        return tuple(part for part in parts if part is not None)
    hint = nearest(column, [name.strip() for name in names])
    raise ConfigError(
        f"{source}: --map {field}={column}: there is no such column{hint}{_with_names(names)}"
    )


def _number(column: str, names: Sequence[str]) -> int | None:
    stripped = [name.strip() for name in names]
    if column in stripped:
        return stripped.index(column)
    if column.isascii() and column.isdigit() and 1 <= int(column[:9]) <= len(names):
        return int(column) - 1
    return None


def _named(field: str, names: Sequence[str]) -> tuple[int, ...]:
    """All columns whose names stand for the field."""
    plain = [" ".join(name.strip(" <>\t").replace("_", " ").lower().split()) for name in names]
    return tuple(at for at, name in enumerate(plain) if name in NAMES[field])
