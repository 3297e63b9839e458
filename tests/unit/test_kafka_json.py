"""The JSON of Kafka's records: what goes in comes out, and its text is that of Flink's format."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.kafka_json import Codec, key_of
from schemas.table import Kind, Table, Type
from schemas.tables import TABLES
from udfs.errors import ContractError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
AMOUNT = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda units: Decimal(units).scaleb(-18))
DOUBLE = st.floats(allow_nan=False)
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.STRING: TEXT,
    Type.BIGINT: st.integers(-(2**63), 2**63 - 1),
    Type.INT: st.integers(-(2**31), 2**31 - 1),
    Type.DOUBLE: DOUBLE,
    Type.BOOLEAN: st.booleans(),
    Type.DECIMAL: AMOUNT,
    Type.MAP_DOUBLE: st.dictionaries(TEXT, DOUBLE, max_size=3),
    Type.MAP_DECIMAL: st.dictionaries(TEXT, AMOUNT, max_size=3),
}


def same(given: Any, found: Any) -> bool:
    """Equal, and of the same sign where it is 0."""
    if isinstance(given, dict):
        pairs = dict(found)
        return given.keys() == pairs.keys() and all(same(given[one], pairs[one]) for one in given)
    if isinstance(given, float):
        return found == given and math.copysign(1, found) == math.copysign(1, given)
    return type(found) is type(given) and found == given


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
@settings(deadline=None, max_examples=50, derandomize=True, database=None)
@given(data=st.data())
def test_rows_come_back(table: Table, data: st.DataObject) -> None:
    row = [
        data.draw(st.none() | VALUES[one.type] if one.name not in table.key else VALUES[one.type])
        for one in table.stored
    ]
    codec = Codec(table)
    found = codec.read(codec.value(row))
    assert list(found) == [column.name for column in table.stored]
    assert all(same(one, back) for one, back in zip(row, found.values(), strict=True))
    whole = dict(zip(found, row, strict=True))
    key = codec.read_key(codec.key(row))
    assert {name: value for name, value in key.items() if value is not None} == {
        name: whole[name] for name in key_of(table)
    }


def test_the_text_is_that_of_flink() -> None:
    signals = Codec(TABLES["realized_pnl_latest"])
    row = ["a", "s", "É\n", Decimal("1E-18"), Decimal("-0.5"), Decimal(10**19), {"EUR": Decimal(1)}]
    assert signals.value([*row, 5, None]).decode() == (
        '{"account_id":"a","strategy_id":"s","symbol":"É\\n",'
        '"realized_pnl":0.000000000000000001,"fees":-0.5,"net_pnl":10000000000000000000,'
        '"other_fees":{"EUR":1},"updated_ts":5,"run_id":null}'
    )
    assert (
        signals.key([*row, 5, None])
        == '{"account_id":"a","strategy_id":"s","symbol":"É\\n"}'.encode()
    )
    bars = Codec(TABLES["price_1m_history"])
    text = bars.value(["A", 60_000, 1.0, math.nan, math.inf, -0.0, 1e-300, "main", False]).decode()
    assert text == (
        '{"symbol":"A","ts":60000,"open":1.0,"high":"NaN","low":"Infinity","close":-0.0,'
        '"volume":1e-300,"feed":"main","late":false}'
    )
    assert math.isnan(bars.read(text.encode())["high"])
    assert bars.key(["A", *[None] * 8]) == b'{"symbol":"A"}'


def test_what_flink_writes_is_read() -> None:
    codec = Codec(TABLES["realized_pnl_latest"])
    text = {
        "account_id": "a", "strategy_id": "s", "symbol": "X", "fees": 0, "net_pnl": None,
        "other_fees": {}, "updated_ts": 5, "run_id": "r", "more": 1,
    }  # fmt: skip
    value = json.dumps(text).replace('"fees": 0', '"realized_pnl": 1.500000000000000000, "fees": 0')
    found = codec.read(value.encode())
    assert str(found["realized_pnl"]) == "1.500000000000000000"
    assert found["fees"] == 0 and found["net_pnl"] is None and found["other_fees"] == []
    assert "more" not in found
    bar = {"symbol": "A", "ts": 0, "open": 5, "high": 1.0e-300, "close": "NaN", "late": True}
    read = Codec(TABLES["price_1m_history"]).read(json.dumps(bar).encode())
    assert read["open"] == 5.0 and isinstance(read["open"], float) and read["volume"] is None


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"realized_pnl":"x"}', b"\xff"])
def test_other_records_are_refused(value: bytes) -> None:
    with pytest.raises(ContractError, match="is no row of it"):
        Codec(TABLES["realized_pnl_latest"]).read(value)


def test_keys_are_those_of_the_statement() -> None:
    for table in TABLES.values():
        assert key_of(table) == (table.key if table.kind is Kind.LATEST else table.bucket_key)
