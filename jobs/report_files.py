"""Files of exec reports, CSV or Parquet, with every value as text for the checks of reports."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.csv_files import check_twice, is_csv, read_text_csv
from jobs.values import is_number, is_text, is_time, value_text, whole_numbers
from udfs.errors import ConfigError, nearest
from udfs.reports import REPORT_COLUMNS, REQUIRED_COLUMNS

FEES = ("fee", "fee_currency")
ALIKE = 0.8  # `fees` for `fee`, but not `free`


def read_reports(path: Path) -> list[dict[str, str | None]]:
    """The rows of a file, every value as text.

    ConfigError where it can't be read, or its columns are not those of exec reports.
    """
    table = _read(path)
    values = [_texts(name, table[name]) for name in table.column_names]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*values, strict=True)]


def count_reports(path: Path) -> int:
    """How many rows a file has; ConfigError as `read_reports` raises it."""
    return int(_read(path).num_rows)


def _read(path: Path) -> pa.Table:
    """The known columns of a file, in their order and of types that can be read."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"--exec-reports: {path} {what}; name a CSV or Parquet file")
    is_text = is_csv(str(path))
    table = read_text_csv(str(path), REPORT_COLUMNS) if is_text else _read_parquet(path)
    _check_names(path, table.column_names)
    names = [name for name in REPORT_COLUMNS if name in table.column_names]
    for name in names:
        _check_kind(path, name, table[name].type)
    return table.select(names)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not a Parquet file that can be read: {error} (a file is read as CSV where "
            "its name ends in .csv, .csv.gz or .txt)"
        ) from None


def _check_names(path: Path, names: Sequence[str]) -> None:
    """ConfigError where a column is missing, or twice there, or its name misspelt.

    A fee may be left out; one under a name like it would be taken for none, and be lost.
    """
    check_twice(str(path), names, REPORT_COLUMNS)
    shown = f"it has {', '.join(names)}; expected {', '.join(REPORT_COLUMNS)}"
    for name in REQUIRED_COLUMNS:
        if name not in names:
            raise ConfigError(f"{path}: column {name!r} is missing{nearest(name, names)}; {shown}")
    unknown = [name for name in names if name not in REPORT_COLUMNS]
    for name in FEES:
        close = difflib.get_close_matches(name, unknown, n=1, cutoff=ALIKE)
        if name not in names and close:
            raise ConfigError(
                f"{path}: column {close[0]!r} is not known (did you mean {name!r}?); {shown}"
            )


def _check_kind(path: Path, name: str, kind: pa.DataType) -> None:
    if not (is_time(kind) if name == "ts" else is_number(kind)):
        expected = "times" if name == "ts" else "text or numbers"
        raise ConfigError(f"{path}: column {name!r} holds {kind}; expected {expected}")


def _texts(name: str, column: pa.ChunkedArray) -> list[str | None]:
    """A column as text; a time as epoch milliseconds."""
    if is_text(column.type):
        return list(column.to_pylist())
    if is_number(column.type):
        return [value_text(value) for value in column.to_pylist()]
    numbers, whole = whole_numbers(column)
    texts = column.cast(pa.string()).to_pylist()
    return [
        str(number) if is_whole else text
        for number, is_whole, text in zip(numbers.tolist(), whole.tolist(), texts, strict=True)
    ]
