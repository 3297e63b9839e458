"""Rows of a Kafka topic: JSON as Flink's json format writes and reads it.

A value is an object with all columns of a row, in the order of `Table.stored`. Decimals are plain
numbers, doubles the shortest text that gives them back (no number is -0.0 in a table that has
decimals: Flink reads it as 0.0 there), maps objects. The key of a record is an object with the
columns of `key_of`. A record without a value deletes the row of its key from a latest table.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from schemas.table import MAPS, Column, Kind, Table, Type
from udfs.errors import ContractError

SCALE = Decimal(1).scaleb(-18)
PRECISE = Context(prec=60, rounding=ROUND_HALF_EVEN)
Encode = Callable[[Any], str]
Decode = Callable[[Any], Any]


def key_of(table: Table) -> tuple[str, ...]:
    """The columns of a record's key: the primary key of a latest table, else the bucket key."""
    return table.key if table.kind is Kind.LATEST else table.bucket_key


class Codec:
    """The codec of one table's records."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._columns = [(_member(column), _ENCODERS[column.type]) for column in table.stored]
        by_name = {column.name: at for at, column in enumerate(table.stored)}
        places = [by_name[name] for name in key_of(table)]
        self._key_columns = [(_member(table.stored[at]), at) for at in places]
        self._key_encoders = [_ENCODERS[table.stored[at].type] for at in places]
        self._decoders = [(one.name, _DECODERS.get(one.type)) for one in table.stored]
        kinds = {column.type for column in table.stored}
        # Text keeps all digits of an amount; without amounts the faster float will do.
        exact = kinds & {Type.DECIMAL, Type.MAP_DECIMAL}
        self._parse_float = str if exact else None

    def value(self, row: Sequence[Any]) -> bytes:
        """A row, its values in the order of `Table.stored`."""
        parts = [
            member + ("null" if value is None else encode(value))
            for (member, encode), value in zip(self._columns, row, strict=True)
        ]
        return f"{{{','.join(parts)}}}".encode()

    def key(self, row: Sequence[Any]) -> bytes:
        """The key of the record of such a row."""
        parts = [
            member + encode(row[at])
            for (member, at), encode in zip(self._key_columns, self._key_encoders, strict=True)
        ]
        return f"{{{','.join(parts)}}}".encode()

    def read(self, value: bytes) -> dict[str, Any]:
        """The row of a record's value by column name; maps are lists of pairs.

        ContractError where it is no such row.
        """
        try:
            held = json.loads(value, parse_float=self._parse_float)
            return {
                name: one if (one := held.get(name)) is None or decode is None else decode(one)
                for name, decode in self._decoders
            }
        except (ValueError, AttributeError, ArithmeticError, TypeError) as error:
            shown = value[:200].decode(errors="replace")
            raise ContractError(f"{self.table.name}: {shown!r} is no row of it: {error}") from None

    def read_key(self, key: bytes) -> dict[str, Any]:
        """The row that a record without a value deletes: its key, the rest null."""
        return self.read(key)


def _member(column: Column) -> str:
    return f"{json.dumps(column.name)}:"


def _double(value: Any) -> str:
    number = float(value)
    # As Flink writes what JSON has no number for.
    return repr(number) if math.isfinite(number) else json.dumps(_NOT_FINITE[repr(number)])


def _decimal(value: Any) -> str:
    return format(value if isinstance(value, Decimal) else Decimal(value), "f")


def _map(encode: Encode) -> Encode:
    def encoded(value: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
        pairs = value.items() if isinstance(value, Mapping) else value
        return (
            "{"
            + ",".join(f"{json.dumps(name)}:{_null_or(encode, one)}" for name, one in pairs)
            + "}"
        )

    return encoded


def _null_or(encode: Encode, value: Any) -> str:
    return "null" if value is None else encode(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _whole(value: Any) -> str:
    return str(int(value))


def _flag(value: Any) -> str:
    return "true" if value else "false"


def _read_decimal(value: Any) -> Decimal:
    return Decimal(value).quantize(SCALE, context=PRECISE)


def _read_map(decode: Decode) -> Decode:
    def read(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
        return [(name, None if one is None else decode(one)) for name, one in value.items()]

    return read


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_ENCODERS: Mapping[Type, Encode] = {
    Type.STRING: _text,
    Type.BIGINT: _whole,
    Type.INT: _whole,
    Type.DOUBLE: _double,
    Type.BOOLEAN: _flag,
    Type.DECIMAL: _decimal,
    Type.MAP_DOUBLE: _map(_double),
    Type.MAP_DECIMAL: _map(_decimal),
}
_DECODERS: Mapping[Type, Decode] = {
    Type.DOUBLE: float,
    Type.DECIMAL: _read_decimal,
    Type.MAP_DOUBLE: _read_map(float),
    Type.MAP_DECIMAL: _read_map(_read_decimal),
}
assert set(_ENCODERS) == set(Type) and set(MAPS) <= set(_DECODERS)
