"""The engine alone equals the plain reference on random tapes, good and bad, in any order."""

import random
from typing import Any

import pytest

from jobs import engine_files
from jobs.engine_files import DAY_MS
from tests.reference import run as reference
from tests.reference.compare import differences

NUMBERS = ("1", "0.5", "2.25", "0.333333", "10")
PRICES = ("100.5", "99", "101.123456", "0.07", "100")
FEES = ("0", "0.1", "-0.05", "0.333333333333333333", "", "0.000000000001")
QUOTES = {"ETHUSD": "USD", "ETHEUR": "EUR"}


def random_tape(rng: random.Random, rows: int, days: int) -> list[dict[str, Any]]:
    """Fills of a few keys over some days, with copies, disorder and bad rows."""
    tape: list[dict[str, Any]] = []
    for number in range(rows):
        row: dict[str, Any] = {
            "account_id": rng.choice(["a", "b"]),
            "strategy_id": rng.choice(["s1", "s2"]),
            "order_id": f"o{number}",
            "fill_id": f"f{rng.randint(0, 2)}",
            "symbol": rng.choice(["BTCUSD", "ETHEUR"]),
            "side": rng.choice(["BUY", "SELL"]),
            "fill_qty": rng.choice(NUMBERS),
            "fill_price": rng.choice(PRICES),
            "ts": str(1_600_000_000_000 + rng.randrange(days * DAY_MS // 1000) * 1000),
            "fee": rng.choice(FEES),
            "fee_currency": rng.choice(["", "", "USD", "EUR", "BNB"]),
            "venue": "x",
        }
        tape.append(row)
        if rng.random() < 0.1:
            copied = dict(rng.choice(tape))
            if rng.random() < 0.5:
                shift = rng.choice([1000, 7 * DAY_MS, 7 * DAY_MS + 1000])
                copied["ts"] = str(int(copied["ts"]) + shift)
            tape.append(copied)
    rng.shuffle(tape)
    return [spoil(rng, row) if rng.random() < 0.03 else row for row in tape]


def spoil(rng: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    changes: list[dict[str, Any]] = [
        {"account_id": ""},
        {"order_id": None},
        {"ts": rng.choice(["", "soon", "1600000000000.5", "1600000000000.0"])},
        {"side": rng.choice(["buy", "", "HOLD"])},
        {"fill_qty": rng.choice(["", "nan", "ten", "1_0", "inf"])},
        {"fee": "much"},
        {"fill_price": rng.choice(["0", "-1"])},
        {"fill_qty": rng.choice(["0.0000000000000000001", "123456789012345678901"])},
        {"strategy_id": ""},
    ]
    return {**row, **rng.choice(changes)}


@pytest.mark.parametrize("seed", range(25))
def test_tapes(seed: int) -> None:
    rng = random.Random(seed)
    tape = random_tape(rng, rng.choice([5, 50, 400]), rng.choice([1, 30]))
    expected = reference.run_engine(tape, QUOTES, 7, "demo", "LIVE")
    quote = lambda symbol: QUOTES.get(symbol, symbol[-3:])  # noqa: E731
    fills, rejects, _ = engine_files.sort_out(tape, quote, "demo")
    booked = engine_files.book_fills(fills, quote, 7 * DAY_MS)
    tables = engine_files.engine_tables(booked, rejects, quote, "demo", "LIVE")
    assert booked.duplicates == expected.pop("duplicates")
    assert differences(tables, expected) == []
