"""Families of strategies ranked: each combination of parameters with its figures, best first."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from udfs.plan import RunPlan

Row = Mapping[str, Any]


class RankBy(StrEnum):
    """The figures that sets can be ranked by."""

    NET_PNL = "net_pnl"
    GROSS_PNL = "gross_pnl"
    SHARPE = "sharpe"
    SORTINO = "sortino"
    CALMAR = "calmar"
    CAGR = "cagr"
    PROFIT_FACTOR = "profit_factor"
    WIN_RATE = "win_rate"
    EXPECTANCY = "expectancy"
    MAX_DRAWDOWN = "max_drawdown"
    MAX_DRAWDOWN_AMOUNT = "max_drawdown_amount"


class RankedSet(NamedTuple):
    """One combination: its rank from 1, its parameters, its row of the summary."""

    rank: int
    params: Mapping[str, Any]
    row: Row

    @property
    def net_pnl(self) -> Decimal:
        """What it earned after fees."""
        return Decimal(self.row["net_pnl"])


class RankedFamily(NamedTuple):
    """A grid, or a list of sets, in an account and currency; `sets` best first.

    `parameters` are their names in alphabetical order. `is_shared`: the account has a cap, a
    budget or shorts, so that sets decide on each other's trades.
    """

    account_id: str
    currency: str
    family_id: str
    kind: str
    timeframe: str
    parameters: tuple[str, ...]
    rank_by: RankBy
    is_shared: bool
    sets: tuple[RankedSet, ...]

    @property
    def profitable(self) -> int:
        """How many of its sets earned anything after fees."""
        return sum(one.net_pnl > 0 for one in self.sets)

    def median(self, figure: str) -> Any:
        """The median of a figure over the sets that have it; None where none has."""
        import statistics  # slow to load, and help needs this module

        values = [one.row[figure] for one in self.sets if one.row[figure] is not None]
        if not values:
            return None
        if isinstance(values[0], str):
            return str(statistics.median(map(Decimal, values)))
        return statistics.median(values)


def ranked_families(
    plan: RunPlan, summary: Sequence[Row], rank_by: RankBy, shared: frozenset[str] = frozenset()
) -> list[RankedFamily]:
    """The families of more than one combination, by account, family and currency.

    `summary` may lack combinations that are not done. `shared` are the ids of accounts in which
    sets decide on each other.
    """
    strategies = {strategy.strategy_id: strategy for strategy in plan.strategies}
    sizes: dict[str, int] = {}
    for strategy in plan.strategies:
        sizes[strategy.family_id] = sizes.get(strategy.family_id, 0) + 1
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in summary:
        strategy = strategies.get(row["strategy_id"])  # an account's own row has none
        if strategy is not None and sizes[strategy.family_id] > 1:
            key = (row["account_id"], strategy.family_id, row["currency"])
            found.setdefault(key, []).append(row)
    families = []
    for (account_id, family_id, currency), rows in sorted(found.items()):
        any_one = strategies[rows[0]["strategy_id"]]
        sets = [
            RankedSet(rank, strategies[row["strategy_id"]].params, row)
            for rank, row in enumerate(sorted(rows, key=_order(rank_by)), start=1)
        ]
        families.append(
            RankedFamily(
                account_id=account_id,
                currency=currency,
                family_id=family_id,
                kind=any_one.kind,
                timeframe=any_one.timeframe,
                parameters=tuple(sorted({name for one in sets for name in one.params})),
                rank_by=rank_by,
                is_shared=account_id in shared,
                sets=tuple(sets),
            )
        )
    return families


def _order(rank_by: RankBy) -> Any:
    """A sort key: best first, what is not defined last, equal ones by their id."""

    def key(row: Row) -> tuple[bool, Decimal, str]:
        value = row[rank_by]
        if value is None:
            return True, Decimal(0), row["strategy_id"]
        return False, Decimal(value).copy_negate(), row["strategy_id"]

    return key
