"""Why figures are not defined, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.equity.book import Book
from scripts.equity.parts import Curve, Part
from udfs.figures import daily_returns

TRIPS = (
    "win_rate", "profit_factor", "expectancy", "expectancy_r", "average_win", "average_loss",
    "payoff_ratio", "best_trade", "worst_trade", "average_holding_hours", "exposure",
    "gross_exposure",
)  # fmt: skip
NO_LOSS = ("profit_factor", "average_loss", "expectancy_r")
RETURNS = ("volatility", "sharpe", "sortino")


def reasons(
    missing: Sequence[str], found: dict[str, Any], part: Part, line: Curve | None, book: Book
) -> list[str]:
    """One text per reason, naming its figures."""
    told: dict[str, list[str]] = {}
    for key in missing:
        told.setdefault(_reason(key, found, part, line), []).append(key)
    return [f"{', '.join(keys)}: not defined, {reason}" for reason, keys in told.items()]


def _reason(key: str, found: dict[str, Any], part: Part, line: Curve | None) -> str:
    if key in TRIPS and not found["trades"]:
        return "there are no round trips"
    if key in NO_LOSS:
        return "no round trip lost"
    if key == "average_win":
        return "no round trip won"
    if key == "payoff_ratio":
        return "no round trip lost" if found["average_loss"] is None else "no round trip won"
    if key in ("average_holding_hours", "exposure", "gross_exposure") and (
        part.trades.open_ts is None
    ):
        return "there is no column open_ts"
    if key in ("traded_notional", "turnover", "turnover_annual", "fee_bps", "gross_exposure") and (
        part.trades.traded is None
    ):
        return "columns buy_price, sell_price and matched_qty are needed"
    if key == "fee_bps":
        return "nothing was traded"
    if key == "fee_share":
        return "the result before fees is 0"
    if line is None:
        return "there are no days"
    return _of_the_curve(key, found, line)


def _of_the_curve(key: str, found: dict[str, Any], line: Curve) -> str:
    if found["start_capital"] <= 0.0:
        return "the start capital is 0"
    if key in RETURNS:
        returns = daily_returns(line.equity, found["start_capital"])
        if returns is None:
            return "start capital and equity together fell to 0 or below"
        if len(returns) < 2:
            return "there are fewer than two days"
        if np.all(returns == returns[0]) and key == "sharpe":
            return "daily returns do not vary"
        return "no day lost" if key == "sortino" else "daily returns do not vary"
    if key == "exposure" or key == "gross_exposure":
        return "no time passed between the first opening and the last closing fill"
    if key == "calmar" and found["max_drawdown"] == 0.0:
        return "there was no drawdown"
    if found["end_equity"] < 0.0:
        return "start capital and equity together ended below 0"
    return "so few days compound to a number beyond what a double holds"
