"""Rows between stores and live stages: values that JSON knows, in the order of the store's columns.

Decimals are plain text. A map of doubles is text `name=value,...` and so is one of decimals; Flink
shows a map that it casts to text as `{name=value, ...}`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from schemas.table import Column, Table, Type
from udfs.errors import ContractError
from udfs.money import plain_text, plain_units, units

Value = str | int | float | bool | None
Values = tuple[Value, ...]
_PLAIN = frozenset({str, int, float, bool, type(None)})


class _Codec(NamedTuple):
    """A table's columns by name, and which of them are made texts, by number."""

    names: tuple[str, ...]
    texts: tuple[tuple[int, Column], ...]


# Asked for each row. A table is told by where it lies, as its own hash goes through all columns.
_CODECS: dict[int, tuple[Table, _Codec]] = {}


def encode(table: Table, row: Mapping[str, object]) -> Values:
    """A row by column name as the store's values; columns that are not there are null."""
    held = _CODECS.get(id(table))
    codec = _codec(table) if held is None else held[1]
    values: list[Any] = list(map(row.get, codec.names))
    for at, column in codec.texts:
        value = values[at]
        if value is not None:
            values[at] = _text(column, value)
    if not _PLAIN.issuperset(map(type, values)):
        for name, value in zip(codec.names, values, strict=True):
            if not isinstance(value, str | int | float | bool | None):
                raise ContractError(f"{name}: {value!r} is no value of a row")
    return tuple(values)


def _codec(table: Table) -> _Codec:
    texts = (Type.DECIMAL, Type.MAP_DECIMAL)
    numbered = enumerate(table.stored)
    made = _Codec(
        tuple(column.name for column in table.stored),
        tuple((at, column) for at, column in numbered if column.type in texts),
    )
    _CODECS[id(table)] = (table, made)
    return made


def key_values(table: Table, row: Mapping[str, object]) -> Values:
    """The same with the key alone, the rest null: what deletes a row of a latest table."""
    return encode(table, {name: row[name] for name in table.key})


def _text(column: Column, value: object) -> str:
    if column.type is Type.DECIMAL:
        return decimal_text(value)
    if value == "{}":
        return ""
    held = json.loads(str(value))
    return ",".join(f"{name}={held[name]}" for name in sorted(held))


def decimal_text(value: object) -> str:
    """A Decimal, or an amount in units of 10^-18, as plain text."""
    if isinstance(value, int):
        return plain_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
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
    plain = plain_units(value) if isinstance(value, str) else None
    return units(value) if plain is None else plain
