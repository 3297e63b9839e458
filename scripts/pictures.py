"""Pictures of a run, for notebooks and documents: equity and drawdown, profit per day, one trade.

Each function takes data frames as scripts.equity_metrics and jobs.run.run_frames give them and
answers a matplotlib Figure. It draws nothing on a screen and keeps nothing: a notebook shows the
figure that a cell ends with, `figure.savefig(path)` writes it. `note` stands small under the
title and says what the reader must know, such as that bars are simulated.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Colours that also the colour-blind tell apart (Okabe and Ito).
BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
DARK, GREY, PALE = "#222222", "#777777", "#DDDDDD"
LINES = (BLUE, ORANGE, GREEN, RED, GREY)
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on each machine
    "font.size": 10.0,
    "figure.dpi": 110.0,
    "savefig.dpi": 110.0,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": GREY,
    "axes.labelcolor": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "xtick.labelcolor": DARK,
    "ytick.color": GREY,
    "ytick.labelcolor": DARK,
}
ENDS = ("open_ts", "match_ts")  # of a round trip
BEHIND_WORDS = {
    "boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8,
}  # fmt: skip
WIDTH = 9.0  # inches; some 1000 pixels
DAY = pd.Timedelta(days=1)


def equity_picture(
    curve: pd.DataFrame, *, start_capital: float, title: str, note: str, zone: str = "Europe/Oslo"
) -> Figure:
    """Equity above its drawdown, a point for the end of each local day.

    `curve` is equity_curve of one account and currency: index `day`, columns `equity`,
    `drawdown` (share, 0 or below) and `currency`.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[5, 2])
        days = curve.index.insert(0, curve.index[0] - DAY)  # where the start capital stands
        equity = np.concatenate(([start_capital], curve["equity"].to_numpy(float)))
        fall = np.concatenate(([0.0], 100.0 * curve["drawdown"].to_numpy(float)))
        _head(above, title, note)
        _start(above, days[-1], start_capital, equity[-1] < start_capital)
        above.plot(days, equity, color=BLUE, linewidth=2.0)
        above.margins(x=0.01, y=0.12)
        _value(above, days[-1], equity[-1], f"{equity[-1]:,.0f}")
        above.set_ylabel(f"equity, {curve['currency'].iloc[0]}")
        _thousands(above)
        below.fill_between(days, fall, 0.0, color=RED, alpha=0.25, linewidth=0.0)
        below.plot(days, fall, color=RED, linewidth=1.3)
        _deepest(below, days, fall)
        below.set_ylabel("drawdown, %")
        below.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        below.margins(y=0.15)
        below.set_ylim(top=0.0)
        _days(below, days, "end of the day", zone)
        figure.align_ylabels()
    return figure


def daily_picture(
    daily: pd.DataFrame, *, title: str, note: str, zone: str = "Europe/Oslo"
) -> Figure:
    """A bar for each day's realized net PnL; `daily` is daily_pnl of one currency."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        net = daily["net_pnl"].to_numpy(float)
        _head(axes, title, note)
        axes.bar(daily.index, net, width=0.75, color=np.where(net < 0.0, RED, BLUE))
        axes.axhline(0.0, color=GREY, linewidth=1.0)
        axes.set_ylabel(f"realized net PnL, {daily['currency'].iloc[0]}")
        _thousands(axes)
        _days(axes, daily.index, "day", zone)
    return figure


def trade_picture(
    bars: pd.DataFrame,
    trade: Mapping[str, Any],
    *,
    columns: Sequence[str],
    title: str,
    note: str,
    is_long: bool = True,
    zone: str = "Europe/Oslo",
) -> Figure:
    """The price around one round trip, features over it, and where it was entered and left.

    `bars` are rows of indicator_history of one symbol and timeframe, `ts` being the close time;
    `columns` the features to draw; `trade` a row of trade_match_history.
    """
    local = ZoneInfo(zone)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots()
        times = pd.to_datetime(bars["ts"], unit="ms", utc=True)
        _head(axes, title, note)
        axes.plot(times, bars["close"], color=DARK, linewidth=1.2, label="close")
        for name, colour in zip(columns, LINES, strict=False):
            axes.plot(times, bars[name], color=colour, linewidth=1.6, label=name)
        opened, closed = (pd.Timestamp(trade[ts], unit="ms", tz="UTC") for ts in ENDS)
        axes.axvspan(opened, closed, color=BLUE, alpha=0.07, linewidth=0.0)
        bought, sold = (opened, closed) if is_long else (closed, opened)
        _mark(axes, bought, float(trade["buy_price"]), "buy")
        _mark(axes, sold, float(trade["sell_price"]), "sell")
        axes.set_ylabel(f"price of {trade['symbol']}")
        axes.margins(x=0.01, y=0.08)
        _prices(axes)
        axes.set_xlabel(f"time, {zone}")
        axes.xaxis.set_major_locator(AutoDateLocator(tz=local, minticks=5, maxticks=9))
        axes.xaxis.set_major_formatter(DateFormatter("%-d %b\n%H:%M", tz=local))
        axes.legend(frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _head(axes: Axes, title: str, note: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", color=DARK, pad=24)
    axes.annotate(
        note, (0.0, 1.0), (0, 8), xycoords="axes fraction", textcoords="offset points",
        ha="left", va="bottom", color=GREY,
    )  # fmt: skip


def _thousands(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _prices(axes: Axes) -> None:
    """As many decimals as the range of the axis asks for."""
    low, high = axes.get_ylim()
    decimals = max(0, 2 - math.floor(math.log10(high - low)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.{decimals}f}"))


def _days(axes: Axes, days: pd.DatetimeIndex, what: str, zone: str) -> None:
    """Some eight days named, and from when to when below them."""
    years = len(days) > 400
    axes.set_xticks(days[:: math.ceil(len(days) / 8)])
    axes.xaxis.set_major_formatter(DateFormatter("%b %Y" if years else "%-d %b"))
    axes.margins(x=0.01)
    axes.set_xlabel(f"{what}, {days[0]:%-d %B %Y} to {days[-1]:%-d %B %Y}, {zone}")


def _start(axes: Axes, last: pd.Timestamp, capital: float, label_above: bool) -> None:
    axes.axhline(capital, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.annotate(
        "start capital", (last, capital), (0, 4 if label_above else -4),
        textcoords="offset points", ha="right", va="bottom" if label_above else "top", color=GREY,
    )  # fmt: skip


def _value(axes: Axes, day: pd.Timestamp, value: float, text: str) -> None:
    axes.plot([day], [value], "o", color=BLUE, markersize=5)
    axes.annotate(
        text, (day, value), (0, 8), textcoords="offset points",
        ha="right", va="bottom", color=BLUE, fontweight="bold",
    )  # fmt: skip


def _deepest(axes: Axes, days: pd.DatetimeIndex, fall: np.ndarray) -> None:
    """Name the deepest drawdown where there is one, on the side that has more room."""
    place = int(np.argmin(fall))
    if fall[place] >= 0.0:
        return
    is_late = 2 * place > len(days)
    axes.plot([days[place]], [fall[place]], "o", color=RED, markersize=5)
    axes.annotate(
        f"−{-fall[place]:.1f} % on {days[place]:%-d %b}", (days[place], fall[place]),
        (-10 if is_late else 10, 0), textcoords="offset points", ha="right" if is_late else "left",
        va="center", color=RED, fontweight="bold", bbox=BEHIND_WORDS,
    )  # fmt: skip


def _mark(axes: Axes, time: pd.Timestamp, price: float, side: str) -> None:
    """Where and at what price; the words stand left, where a price that rises to a buy is not."""
    is_buy = side == "buy"
    colour = GREEN if is_buy else RED
    axes.plot(
        [time], [price], "^" if is_buy else "v", color=colour, markersize=12,
        markeredgecolor="white", zorder=5,
    )  # fmt: skip
    axes.annotate(
        f"{side} at {price:,.10g}", (time, price), (-10, 6 if is_buy else -6),
        textcoords="offset points", ha="right", va="bottom" if is_buy else "top",
        color=colour, fontweight="bold", zorder=6,
        bbox=BEHIND_WORDS,
    )  # fmt: skip
