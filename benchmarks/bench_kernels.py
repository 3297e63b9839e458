"""What decided how money and ids are done: nanoseconds per operation, in one process."""

import decimal
import hashlib
import timeit
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from udfs import bulk_ids, ids
from udfs.money import FEE_STEP, UNIT, round_half_even

COUNT = 200_000
CONTEXT = decimal.Context(prec=80)


def per_operation(name: str, function: Callable[[], object], number: int = COUNT) -> None:
    """Print nanoseconds, the best of three."""
    best = min(timeit.repeat(function, number=number, repeat=3)) / number
    print(f"{name:<52}{best * 1e9:>10.0f} ns")


def money() -> None:
    """(sell - buy) x qty, and a fee."""
    buy, sell, qty = Decimal("10123.45"), Decimal("10200.01"), Decimal("0.12345678")
    b, s, q = (int(value.scaleb(18)) for value in (buy, sell, qty))
    bps, bps_units = Decimal("0.0010"), 10 * UNIT
    quantum = Decimal("1e-12")
    per_operation(
        "pnl, Decimal in a context of 80 digits",
        lambda: CONTEXT.multiply(CONTEXT.subtract(sell, buy), qty),
    )
    per_operation("pnl, whole numbers", lambda: (s - b) * q)
    per_operation(
        "fee to 1e-12, Decimal",
        lambda: CONTEXT.multiply(CONTEXT.multiply(sell, qty), bps).quantize(
            quantum, rounding=decimal.ROUND_HALF_EVEN, context=CONTEXT
        ),
    )
    divisor = 10_000 * UNIT * UNIT * FEE_STEP
    per_operation(
        "fee to 1e-12, whole numbers",
        lambda: round_half_even(s * q * bps_units, divisor) * FEE_STEP,
    )


def hashes() -> None:
    """Ids one by one and in bulk."""
    text = b"demo\x1fsweep/fast=5,slow=13\x1fBTCUSD\x1f1546300860000"
    per_operation("one SHA-256, hashlib", lambda: hashlib.sha256(text).hexdigest()[:32])
    per_operation(
        "one signal id", lambda: ids.signal_id("demo", "sweep/fast=5,slow=13", "BTCUSD", 1546300860)
    )
    zeros = np.zeros(COUNT, dtype=np.int32)
    ts = np.arange(COUNT, dtype=np.int64) * 60_000 + 1_546_300_860_000
    names, symbols = ["sweep/fast=5,slow=13"], ["BTCUSD"]

    def signals() -> bulk_ids.Ids:
        return bulk_ids.signal_ids("demo", names, symbols, zeros, zeros, ts)

    found = signals()
    orders = bulk_ids.order_ids("acct-1", found)
    for name, function in (
        ("signal id in bulk", signals),
        ("order id in bulk", lambda: bulk_ids.order_ids("acct-1", found)),
        (
            "match id in bulk",
            lambda: bulk_ids.match_ids(
                "acct-1", names, symbols, zeros, zeros, orders, orders, zeros
            ),
        ),
    ):
        best = min(timeit.repeat(function, number=1, repeat=3)) / COUNT
        print(f"{name:<52}{best * 1e9:>10.0f} ns")


if __name__ == "__main__":
    money()
    hashes()
