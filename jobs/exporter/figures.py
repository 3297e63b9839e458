"""What Prometheus gets: facts of the store and the health of the stack, as metrics.

Amounts are floats of exact sums, in the quote currency. What the store would have to confirm is
left out while it is away, or not yet read: absent beats stale. What says so, or grows with time,
stays.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from jobs.exporter.families import Values, counter, gauge
from jobs.exporter.health import Health
from jobs.exporter.money import Money
from jobs.exporter.reader import Reader
from jobs.exporter.risk import Risk
from udfs import monitoring
from udfs.money import UNIT

AWAY_S = 5.0  # without an answer for so long, the store is away
MS = 1000


class Figures(Collector):
    """Collects all metrics of one moment."""

    def __init__(self, reader: Reader, risk: Risk, health: Health, top_k: int) -> None:
        self._reader, self._risk, self._health, self._top_k = reader, risk, health, top_k

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on the moment."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        now = time.time()
        read_at = self._reader.read_at
        is_here = read_at is not None and now - read_at < AWAY_S
        yield gauge("tradeflow_store_up", "Whether the store answers", (), [((), float(is_here))])
        yield gauge(
            "tradeflow_exporter_ready",
            "Whether all tables were read once",
            (),
            [((), float(self._reader.is_ready))],
        )
        yield from self._health.metrics()
        yield from self._risk.limits()
        with self._reader.lock:
            found = list(self._freshness(now, read_at, is_here))
            if is_here:
                found += self._money()
                found += self._counters()
                found += self._risk.metrics()
                found += self._reader.facts.latency.collect()
        yield from found

    def _money(self) -> Iterator[Metric]:
        money = self._reader.facts.money()
        owner = ("account", "strategy")
        yield gauge(
            "te_unrealized_pnl_total",
            "What open positions would give at the last closes, before fees",
            owner,
            _amounts((one, total.unrealized) for one, total in money.totals.items()),
        )
        for name, words, at in (
            ("te_realized_pnl_total", "Realized profit, before fees", 0),
            ("te_net_pnl_total", "Realized profit, after fees", 1),
        ):
            values = ((one, both[at]) for one, both in money.realized.items())
            yield gauge(name, words, owner, _amounts(values))
        yield gauge(
            "te_net_exposure",
            "Open positions at the last closes, short ones below 0",
            owner,
            _amounts((one, total.exposure) for one, total in money.totals.items()),
        )
        yield gauge(
            "te_open_positions_count",
            "Open positions",
            owner,
            ((one, float(total.positions)) for one, total in money.totals.items()),
        )
        yield self._top(money)
        yield from _accounts(money)

    def _top(self, money: Money) -> Metric:
        by_account: dict[str, dict[str, int]] = {}
        for symbol, mark in money.marks:
            own = by_account.setdefault(mark.owner[0], {})
            own[symbol] = own.get(symbol, 0) + mark.unrealized
        values = [
            ((account, symbol), own[symbol])
            for account, own in by_account.items()
            for symbol in monitoring.largest(own, self._top_k)
        ]
        return gauge(
            "te_unrealized_pnl_topk",
            "The symbols with the largest unrealized profit or loss",
            ("account", "symbol"),
            _amounts(values),
        )

    def _counters(self) -> Iterator[Metric]:
        facts = self._reader.facts
        yield counter(
            "tp_signals_accepted",
            "Signals that the gate let through",
            ("account", "reason"),
            facts.accepted.items(),
        )
        yield counter(
            "tp_signals_rejected",
            "Signals that the gate refused",
            ("account", "code"),
            facts.refused.items(),
        )
        yield counter(
            "strategy_signals",
            "Signals of a strategy",
            ("strategy",),
            (((one,), count) for one, count in facts.signals.items()),
        )
        yield counter("engine_matches_emitted", "Closed segments", (), [((), facts.matches)])
        yield counter("engine_duplicates", "Fills that came again", (), [((), facts.duplicates)])
        yield counter(
            "progress_gaps",
            "Times that a stage went on without another",
            ("stage",),
            (((one,), count) for one, count in facts.gaps.items()),
        )
        yield counter(
            "rows_rejected",
            "Rows that broke their table's contract",
            ("table", "code"),
            facts.rejects.items(),
        )
        yield gauge(
            "tp_open_symbols",
            "Symbols open before the account's last decision",
            ("account",),
            (((one,), float(last.open)) for one, last in facts.gate.items()),
        )
        yield gauge(
            "tp_reserved_symbols",
            "Symbols reserved before the account's last decision",
            ("account",),
            (((one,), float(last.reserved)) for one, last in facts.gate.items()),
        )

    def _freshness(self, now: float, read_at: float | None, is_here: bool) -> Iterator[Metric]:
        facts = self._reader.facts
        if read_at is None:
            return
        if facts.plan.has_paper:
            yield gauge(
                "te_rollup_staleness_seconds",
                "How long the symbol's oldest bar waits that positions do not cover",
                ("symbol",),
                (
                    ((symbol,), _age(now, since, read_at, is_here))
                    for symbol, since in facts.waits_since().items()
                ),
            )
        if facts.feed_ms is not None:
            yield gauge(
                "prices_feed_age_seconds",
                "Since the feed's newest progress, by the clock",
                (),
                [((), max(0.0, now - facts.feed_ms / MS))],
            )
        if not is_here:
            return
        yield gauge(
            "prices_bar_delay_seconds",
            "How far the symbol's last bar is behind the feed's newest progress",
            ("symbol",),
            (((one,), ms / MS) for one, ms in facts.bar_delay_ms().items()),
        )
        yield gauge(
            "stage_lag_seconds",
            "How far a stage is behind the feed in event time",
            ("stage",),
            (((one,), ms / MS) for one, ms in facts.lag_ms().items()),
        )


def _accounts(money: Money) -> Iterator[Metric]:
    for name, words, attribute in (
        ("te_equity", "Start capital, realized and unrealized profit, less fees", "equity"),
        ("te_unrealized_drawdown", "What open positions lose at the last closes", "drawdown"),
        ("te_unrealized_drawdown_ratio", "The same as a share of the rest", "drawdown_ratio"),
        ("te_exposure_ratio", "Open positions as a share of equity", "exposure_ratio"),
    ):
        values = (((one,), getattr(account, attribute)) for one, account in money.accounts.items())
        known = ((labels, value) for labels, value in values if value is not None)
        yield gauge(name, words, ("account",), _amounts(known))


def _age(now: float, since_ms: int | None, read_at: float, is_here: bool) -> float:
    """Seconds since a bar came; while the store is away, at least since it was last heard of."""
    quiet = 0.0 if is_here else now - read_at
    return max(0.0, quiet, 0.0 if since_ms is None else now - since_ms / MS)


def _amounts(values: Iterable[tuple[tuple[str, ...], int]]) -> Values:
    return ((labels, amount / UNIT) for labels, amount in values)
