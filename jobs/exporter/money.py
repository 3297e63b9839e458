"""What open positions and profits add up to at one moment, in units (udfs/money.py)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from udfs import monitoring
from udfs.monitoring import Account, Mark, Owner, SymbolState, Total
from udfs.plan import RunPlan

Place = tuple[str, str, str]  # account, strategy, symbol


class Books(NamedTuple):
    """What the tables say: closes and positions by symbol, open fees and profits by place.

    A profit is realized before and after fees.
    """

    prices: Mapping[str, SymbolState]
    open_fees: Mapping[Place, int]
    realized: Mapping[Place, tuple[int, int]]


class Money(NamedTuple):
    """Sums of one moment.

    `marks` are of every open position of which there is a close, with its symbol. Accounts, and
    owners, that have more than one currency are left out: no sum of two would mean anything.
    """

    marks: Sequence[tuple[str, Mark]]
    totals: Mapping[Owner, Total]
    realized: Mapping[Owner, tuple[int, int]]
    accounts: Mapping[str, Account]


def reckon(plan: RunPlan, books: Books) -> Money:
    """All sums."""
    marks = [
        (symbol, mark) for symbol, state in books.prices.items() for mark in monitoring.marks(state)
    ]
    quotes = {one.symbol: one.quote for one in plan.symbols}
    of_owners: dict[Owner, set[str]] = {}
    of_accounts: dict[str, set[str]] = {one.account_id: set() for one in plan.accounts}
    for account, strategy, symbol in (*books.open_fees, *books.realized):
        if symbol in quotes:
            of_owners.setdefault((account, strategy), set()).add(quotes[symbol])
            of_accounts.setdefault(account, set()).add(quotes[symbol])
    mixed = {owner for owner, found in of_owners.items() if len(found) > 1}
    totals = monitoring.totals(mark for _, mark in marks)
    realized: dict[Owner, tuple[int, int]] = {}
    for (account, strategy, _), (gross, net) in books.realized.items():
        before = realized.get((account, strategy), (0, 0))
        realized[account, strategy] = (before[0] + gross, before[1] + net)
    capital = {
        one.account_id: one.start_capital
        for one in plan.accounts
        if len(of_accounts[one.account_id]) <= 1
    }
    return Money(
        marks,
        {owner: one for owner, one in totals.items() if owner not in mixed},
        {owner: one for owner, one in realized.items() if owner not in mixed},
        _accounts(capital, books, marks),
    )


def _accounts(
    capital: Mapping[str, int], books: Books, marks: Sequence[tuple[str, Mark]]
) -> dict[str, Account]:
    settled = dict(capital)
    unrealized = dict.fromkeys(settled, 0)
    gross = dict.fromkeys(settled, 0)
    for (account, _, _), (_, net) in books.realized.items():
        if account in settled:
            settled[account] += net
    for (account, _, _), fees in books.open_fees.items():
        if account in settled:
            settled[account] -= fees
    for _, mark in marks:
        account = mark.owner[0]
        if account in settled:
            unrealized[account] += mark.unrealized
            gross[account] += abs(mark.exposure)
    return {one: Account(settled[one], unrealized[one], gross[one]) for one in settled}
