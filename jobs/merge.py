"""Columns of several fold groups put together in the order of events."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jobs import columns
from jobs.group_stage import Columns
from udfs.plan import RunPlan


class Part(Protocol):
    """What has columns of one account under their names: a GroupOut, or a part of one."""

    @property
    def account(self) -> int:
        """Index of the account in the plan."""
        ...


def joined(plan: RunPlan, groups: Sequence[Part], name: str, time: str) -> Columns:
    """One table's columns of all groups, with `account`, in order of time, account, then as each
    group has it. Groups of one account are ordered by the rank of strategy and symbol."""
    parts = [getattr(group, name) for group in groups]
    sizes = [len(part[time]) for part in parts]
    accounts = np.repeat([group.account for group in groups], sizes).astype(np.int32)
    merged = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    merged["account"] = accounts
    if len(parts) > 1 and len(accounts):
        order = np.argsort(_merge_key(plan, merged, time), kind="stable")
        merged = {column: _take(values, order) for column, values in merged.items()}
    return merged


def _take(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """values[order]; rows of several numbers move as one block of bytes each."""
    if values.ndim == 1:
        return values.take(order)
    width = values.dtype.itemsize * values.shape[1]
    blocks = np.ascontiguousarray(values).view(f"V{width}").reshape(-1)
    return blocks.take(order).view(values.dtype).reshape(-1, values.shape[1])


def _merge_key(plan: RunPlan, merged: Columns, time: str) -> np.ndarray:
    """One integer per row: time, account, SELL before BUY for signals, strategy, symbol."""
    rank = merged["account"].astype(np.int64)
    if "action" in merged:
        rank = rank * 2 + (merged["action"] > 0)
    rank = rank * len(plan.strategies) + merged["strategy"]
    rank = rank * len(plan.symbols) + merged["symbol"]
    ts = merged[time]
    steps = (ts - ts.min()) // plan.base_ms
    return np.asarray(steps * (int(rank.max()) + 1) + rank, dtype=np.int64)


def key_columns(plan: RunPlan, merged: Columns) -> dict[str, Any]:
    """The columns that name account, strategy, symbol and run."""
    return {
        "account_id": columns.texts(merged["account"], [a.account_id for a in plan.accounts]),
        "strategy_id": columns.texts(merged["strategy"], [s.strategy_id for s in plan.strategies]),
        "symbol": columns.texts(merged["symbol"], [s.symbol for s in plan.symbols]),
        "run_id": columns.constant(plan.run_id, len(merged["account"])),
    }
