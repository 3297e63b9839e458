"""Numbers as people read them in a table: columns with the same decimals, digits in groups."""

from collections.abc import Sequence
from decimal import Decimal

MISSING = "-"


def decimals_for(amounts: Sequence[Decimal]) -> int:
    """How many decimals a column of amounts shows, by its largest: about six digits in all."""
    largest = max((abs(amount) for amount in amounts), default=Decimal(0))
    if largest >= 100_000:
        return 0
    if largest >= 1 or largest == 0:
        return 2
    return 8 if largest < Decimal("0.01") else 4


def money(value: object) -> str:
    """One amount by itself."""
    return money_columns([value])[0][0]


def money_columns(*columns: Sequence[object]) -> list[list[str]]:
    """Columns of amounts (decimal text or floats) as texts that all have the same decimals.

    None is MISSING.
    """
    read = [[None if value is None else Decimal(str(value)) for value in one] for one in columns]
    decimals = decimals_for([amount for one in read for amount in one if amount is not None])
    return [
        [MISSING if amount is None else _grouped(amount, decimals) for amount in one]
        for one in read
    ]


def _grouped(amount: Decimal, decimals: int) -> str:
    text = f"{amount:,.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text  # never -0.00


def number(value: object, decimals: int = 2) -> str:
    """A ratio; huge ones in short, None is MISSING."""
    if not isinstance(value, int | float):
        return MISSING
    return f"{value:,.{decimals}f}" if abs(value) < 10_000 else f"{value:.1e}"


def percent(value: object) -> str:
    """A share of 1 in percent, without the sign; None is MISSING."""
    return f"{100 * value:,.1f}" if isinstance(value, int | float) else MISSING
