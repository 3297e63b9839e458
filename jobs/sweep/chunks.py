"""A run of many strategies cut into chunks that are run one after another, in bounded memory.

Strategies of an account with a cap, a budget or shorts decide on each other's trades, so they stay
in one chunk. All others trade as if they were alone: the rows of a chunk are those that the whole
run has of its strategies.
"""

import itertools
import math
from collections.abc import Collection
from typing import NamedTuple

from udfs.account import is_independent
from udfs.plan import RunPlan
from udfs.timeframes import DAY_MS

# Bars x strategies of a chunk: fourteen sets over seven symbols' year of minutes. Measured: 0.6 GB
# in all for EMA crosses of 5 to 24 bars, 1.3 GB for the shortest, which trade four times as often.
CHUNK_BARS = 36_000_000
# What a strategy costs in bars beside its own: a row per symbol and day, and its objects.
DAY_BARS = 4
LEAST_BARS = 2_000
# An intrabar strategy may give both a BUY and a SELL per bar.
INTRABAR_SIGNALS = 2
# Sets that can't be cut apart: measured with 100 of them, 2.3 GB.
BAR_BYTES = 8.5
MUCH = 2e9


class Chunk(NamedTuple):
    """Ids of strategies that are run together, ascending."""

    strategies: tuple[str, ...]


def cut(plan: RunPlan, rows: int, done: Collection[str] = ()) -> list[Chunk]:
    """The chunks of a run over `rows` bars of all symbols, without the strategies `done`.

    A traced run is one chunk, as every chunk would have the same features; so is one within the
    bound. Strategies that no account follows are in no chunk: they leave nothing behind.
    """
    costs = _costs(plan, rows)
    if plan.trace:
        return [Chunk(tuple(sorted(costs)))]
    left = [one for one in bundles(plan) if one[0] not in done]
    ends = list(itertools.accumulate(sum(costs[name] for name in one) for one in left))
    if not left:
        return []
    share = ends[-1] / math.ceil(ends[-1] / CHUNK_BARS)  # chunks of like size
    chunks: dict[int, list[str]] = {}
    for begin, end, bundle in zip([0.0, *ends], ends, left, strict=False):
        chunks.setdefault(int((begin + end) / 2 / share), []).extend(bundle)
    return [Chunk(tuple(sorted(chunk))) for chunk in chunks.values()]


def followed(plan: RunPlan) -> frozenset[str]:
    """The strategies that any account follows: the sets that a run has to do."""
    return frozenset(name for account in plan.accounts for name in account.strategies)


def bundles(plan: RunPlan) -> list[tuple[str, ...]]:
    """The followed strategies, those that depend on each other together, in order of their ids."""
    bundle_of = {name: name for name in sorted(followed(plan))}
    for account in plan.accounts:
        if not is_independent(plan, account):
            joined = {bundle_of[name] for name in account.strategies}
            first = min(joined)
            bundle_of = {n: first if b in joined else b for n, b in bundle_of.items()}
    found: dict[str, list[str]] = {}
    for name, bundle in bundle_of.items():
        found.setdefault(bundle, []).append(name)
    return [tuple(names) for names in found.values()]


def _costs(plan: RunPlan, rows: int) -> dict[str, float]:
    """What each followed strategy adds to a chunk, in bars of its own timeframe."""
    followers: dict[str, int] = {}
    for account in plan.accounts:
        for name in account.strategies:
            followers[name] = followers.get(name, 0) + 1
    costs = {}
    for strategy in plan.strategies:
        if strategy.strategy_id in followers:
            own = plan.base_ms / strategy.timeframe_ms
            if strategy.intrabar:
                own = min(1.0, own * INTRABAR_SIGNALS)
            cost = max(rows * (own + DAY_BARS * plan.base_ms / DAY_MS), LEAST_BARS)
            costs[strategy.strategy_id] = cost * followers[strategy.strategy_id]
    return costs


def memory_notes(plan: RunPlan, rows: int) -> list[str]:
    """What to tell before a run whose sets can't be cut apart takes much memory."""
    if plan.trace:
        return []
    costs = _costs(plan, rows)
    notes = []
    for chunk in cut(plan, rows):
        memory = BAR_BYTES * sum(costs[name] for name in chunk.strategies)
        if memory > MUCH:
            names = frozenset(chunk.strategies)
            accounts = [
                account.account_id
                for account in plan.accounts
                if not is_independent(plan, account) and names & set(account.strategies)
            ]
            if not accounts or len(names) == 1:
                continue
            notes.append(
                f"{len(names)} sets of {', '.join(accounts)} share a cap, a budget or shorts, so "
                f"they are run together and may take {memory / 1e9:.0f} GB of memory; with "
                "limits.maxOpenPositions: null every set trades alone, and they are run in turn"
            )
    return notes


def restricted(plan: RunPlan, chunk: Chunk) -> RunPlan:
    """The plan of a chunk: its strategies, and the accounts that follow any of them."""
    names = frozenset(chunk.strategies)
    accounts = []
    for account in plan.accounts:
        kept = tuple(name for name in account.strategies if name in names)
        if kept:
            weights = {name: account.weights[name] for name in kept}
            accounts.append(account._replace(strategies=kept, weights=weights))
    return plan._replace(
        strategies=tuple(one for one in plan.strategies if one.strategy_id in names),
        accounts=tuple(accounts),
    )
