"""Ids in bulk equal ids one by one, for texts of any length around SHA-256's blocks."""

import random

import numpy as np
import pytest

from udfs import bulk_ids, ids


@pytest.mark.parametrize("seed", range(12))
def test_bulk_equals_single(seed: int) -> None:
    rng = random.Random(seed)
    strategies = ["s" * rng.randint(1, 90) + "é" * rng.randint(0, 3) for _ in range(4)]
    symbols = ["X" * rng.randint(1, 40) for _ in range(3)]
    run_id, account = "r" * rng.randint(1, 120), "a" * rng.randint(1, 80)
    count = rng.choice([1, 15, 16, 17, 100])
    strategy = np.array([rng.randrange(4) for _ in range(count)], dtype=np.int32)
    symbol = np.array([rng.randrange(3) for _ in range(count)], dtype=np.int32)
    ts = np.array([rng.randrange(10 ** rng.randint(1, 14)) for _ in range(count)], dtype=np.int64)
    signals = bulk_ids.signal_ids(run_id, strategies, symbols, strategy, symbol, ts)
    orders = bulk_ids.order_ids(account, signals)
    closing = np.ascontiguousarray(orders[::-1])
    matches = bulk_ids.match_ids(
        account, strategies, symbols, strategy, symbol, orders, closing, strategy
    )
    for i in range(count):
        names = (strategies[strategy[i]], symbols[symbol[i]])
        signal = ids.signal_id(run_id, *names, int(ts[i]))
        order, other = ids.order_id(account, signal), bytes(closing[i]).decode()
        assert bytes(signals[i]).decode() == signal
        assert bytes(orders[i]).decode() == order
        parts = (order, ids.paper_fill_id(order), other, ids.paper_fill_id(other))
        assert bytes(matches[i]).decode() == ids.hash_id(account, *names, *parts, strategy[i])
