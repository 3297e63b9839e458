"""Simulated bars as files: something to run on where there is no market data.

The files say in their own metadata that they are simulated, by what model version and seed.
"""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from udfs.bars import Bars
from udfs.errors import ConfigError, nearest
from udfs.simulate import (
    EXAMPLE_SYMBOLS,
    MINUTES_PER_DAY,
    SIMULATION_VERSION,
    SymbolSpec,
    simulate,
)

DEFAULT_SEED = 1
DEFAULT_START = date(2024, 3, 1)  # its month has a 23-hour day in Europe/Oslo
DEFAULT_DAYS = 31
SYMBOLS = tuple(spec.symbol for spec in EXAMPLE_SYMBOLS)


def write_simulated(
    out: Path,
    seed: int = DEFAULT_SEED,
    start: date = DEFAULT_START,
    days: int = DEFAULT_DAYS,
    symbols: Sequence[str] = SYMBOLS,
) -> list[Path]:
    """Write `<out>/<symbol>.parquet` for each symbol, over `days` UTC days from `start`.

    Columns: symbol, ts (epoch ms of the open), open, high, low, close, volume. Files are replaced
    whole or not at all; the same arguments write the same bytes. ConfigError where a symbol is
    unknown or a number makes no sense, OSError where `out` cannot be written.
    """
    if days < 1:
        raise ConfigError(f"days {days} must be 1 or more")
    specs = [_spec(symbol) for symbol in symbols]
    start_ts = int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp()) * 1000
    bars = simulate(seed, specs, start_ts, days * MINUTES_PER_DAY)
    out.mkdir(parents=True, exist_ok=True)
    return [_write(out / f"{symbol}.parquet", symbol, bars[symbol], seed) for symbol in symbols]


def _spec(symbol: str) -> SymbolSpec:
    for spec in EXAMPLE_SYMBOLS:
        if spec.symbol == symbol:
            return spec
    raise ConfigError(
        f"symbol {symbol!r} is not simulated{nearest(symbol, SYMBOLS)}; "
        f"known are {', '.join(SYMBOLS)}"
    )


def _write(path: Path, symbol: str, bars: Bars, seed: int) -> Path:
    """Write beside and rename, so that no reader ever sees half a file."""
    columns = {
        "symbol": pa.array([symbol] * len(bars.ts), pa.string()),
        **{name: pa.array(column) for name, column in bars._asdict().items()},
    }
    table = pa.table(columns).replace_schema_metadata(
        {
            "tradeflow.simulated": "true",
            "tradeflow.simulation_version": SIMULATION_VERSION,
            "tradeflow.seed": str(seed),
        }
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
