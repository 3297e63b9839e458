"""Rows between stores and live stages: values that JSON knows, in the order of the store's columns.

Decimals are plain text. A map of doubles is text `name=value,...` and so is one of decimals; Flink
shows a map that it casts to text as `{name=value, ...}`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal

from schemas.table import Column, Table, Type
from udfs.errors import ContractError
from udfs.money import plain_text, units

Value = str | int | float | bool | None
Values = tuple[Value, ...]
_PLAIN = frozenset({str, int, float, bool})
_Codec = tuple[tuple[str, bool, Column], ...]  # name, whether plain values stay as they are
# Asked for each row. A table is told by where it lies, as its own hash goes through all columns.
_CODECS: dict[int, tuple[Table, _Codec]] = {}


def encode(table: Table, row: Mapping[str, object]) -> Values:
    """A row by column name as the store's values; columns that are not there are null."""
    held = _CODECS.get(id(table))
    codec = _codec(table) if held is None else held[1]
    values: list[Value] = []
    for name, is_plain, column in codec:
        value = row.get(name)
        if value is None or (is_plain and type(value) in _PLAIN):
            values.append(value)  # type: ignore[arg-type]
        else:
            values.append(_encoded(column, value))
    return tuple(values)


def _codec(table: Table) -> _Codec:
    texts = (Type.DECIMAL, Type.MAP_DECIMAL)
    made = tuple((column.name, column.type not in texts, column) for column in table.stored)
    _CODECS[id(table)] = (table, made)
    return made


def key_values(table: Table, row: Mapping[str, object]) -> Values:
    """The same with the key alone, the rest null: what deletes a row of a latest table."""
    return encode(table, {name: row[name] for name in table.key})


def _encoded(column: Column, value: object) -> Value:
    if column.type is Type.DECIMAL:
        return decimal_text(value)
    if column.type is Type.MAP_DECIMAL:
        if value == "{}":
            return ""
        held = json.loads(str(value))
        return ",".join(f"{name}={held[name]}" for name in sorted(held))
    if isinstance(value, str | int | float | bool):
        return value
    raise ContractError(f"{column.name}: {value!r} is no value of a row")


def decimal_text(value: object) -> str:
    """A Decimal, or an amount in units of 10^-18, as plain text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return plain_text(value)
    raise ContractError(f"{value!r} is no amount")


def features_text(features: Mapping[str, float]) -> str:
    """Features as text by shortest repr; those without a value are left out."""
    return ",".join(f"{name}={value!r}" for name, value in features.items() if value == value)


def parse_features(text: str) -> dict[str, float]:
    """Features from that text, or as Flink shows the map."""
    inner = text.strip("{}")
    if not inner:
        return {}
    pairs = (pair.rpartition("=") for pair in inner.split(","))
    return {name.strip(): float(value) for name, _, value in pairs}


def amount(value: Value) -> int:
    """A decimal's text in units of 10^-18; 0 of any spelling is 0."""
    return units(value)
