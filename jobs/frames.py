"""Data frames of a notebook as tables of bars."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from jobs.csv_files import check_twice
from jobs.sources import COLUMNS, SHOWN
from jobs.values import value_text
from udfs.errors import ConfigError


def bar_tables(prices: Any) -> list[pa.Table]:
    """One data frame or Arrow table, or several in order of arrival, as tables."""
    frames = prices if isinstance(prices, list | tuple) else [prices]
    return [_table(frame, f"prices[{number}]") for number, frame in enumerate(frames)]


def _table(frame: Any, name: str) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    columns = getattr(frame, "columns", None)
    if columns is None or not hasattr(frame, "dtypes"):
        raise ConfigError(
            f"{name} is a {type(frame).__name__}; give a pandas data frame or a pyarrow table "
            f"with {SHOWN}"
        )
    check_twice(name, [str(column) for column in columns], COLUMNS)
    found = {str(column): _array(frame[column]) for column in columns if column in COLUMNS}
    if len(found) < len(COLUMNS):  # whoever reads the table names what is missing
        found.update({str(column): pa.nulls(len(frame)) for column in columns} | found)
    return pa.table(found)


def _array(series: Any) -> pa.Array:
    """A column; one of mixed types becomes text, which the checks of bars then read."""
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(_texts(series), pa.string())


def _texts(values: Sequence[object]) -> list[str | None]:
    return [value_text(getattr(value, "item", lambda value=value: value)()) for value in values]
