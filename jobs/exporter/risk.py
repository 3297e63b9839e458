"""Alerts of risk: raised and cleared once each, as metrics and as rows of risk_alerts_history.

A reading is compared with its limit each time that it is looked at; times of alerts are the feed's.
What stands as raised is read back from the table, so that another process goes on with it.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric

from jobs.exporter.facts import Facts
from jobs.exporter.families import gauge
from jobs.store.client import Record
from schemas.config_models import Config
from schemas.ops import RISK_ALERTS_HISTORY
from udfs import alerts
from udfs.alerts import (
    CLEARED,
    DRAWDOWN,
    EXPOSURE,
    RAISED,
    STALE_PRICES,
    STALE_ROLLUP,
    Change,
    Reading,
    Standing,
    Subject,
)
from udfs.ids import hash_id
from udfs.money import UNIT, plain_text, to_decimal
from udfs.timeframes import span_ms

FEED = "feed"
USUAL_MS, BARS = 120_000, 2  # silence, unless bars are so long that two of them are longer
MS = 1000
OF_ACCOUNTS = (DRAWDOWN, EXPOSURE)


class Risk:
    """How each alert stands. Limits are in units, of seconds too."""

    def __init__(self, config: Config, facts: Facts) -> None:
        limits = config.monitoring.alerts
        self._facts, self._limits = facts, limits
        usual_ms = max(USUAL_MS, BARS * facts.plan.base_ms)
        self._stale_ms = span_ms(limits.stale) if limits.stale else usual_ms
        self._stale = self._stale_ms * UNIT // MS
        self.stale_after_ms = {
            name: span_ms(one.stale_after) if one.stale_after else usual_ms
            for name, one in config.symbols.items()
            if one.stale_after or one.liquid
        }
        self._standing: dict[Subject, Standing] = {}

    def remember(self, rows: Iterable[Record]) -> None:
        """How alerts stood at the end of these rows of the table, in the order of its log."""
        accounts = [one.account_id for one in self._facts.plan.accounts]
        names = [FEED, *self._facts.prices]
        known = [Subject(code, one) for code in OF_ACCOUNTS for one in accounts]
        known += [Subject(code, one) for code in (STALE_PRICES, STALE_ROLLUP) for one in names]
        run_id = self._facts.plan.run_id
        for row in rows:
            for subject in known:
                own = hash_id(run_id, *subject, row["state"], row["ts"])
                if row["alert_id"] == own:
                    self._standing[subject] = Standing(row["state"] == RAISED, row["ts"])

    def look(self, now: float) -> list[Change]:
        """What has changed, in the order of subjects; `now` is the wall clock in seconds."""
        ts = self._facts.feed_tick
        if ts is None:
            return []
        found = []
        for subject, readings in self._readings(now):
            standing, change = alerts.step(
                self._facts.plan.run_id,
                subject,
                self._standing.get(subject, alerts.QUIET),
                readings,
                self._limits.clear_at,
                ts,
            )
            self._standing[subject] = standing
            if change is not None:
                found.append(change)
        return found

    def _readings(self, now: float) -> Iterator[tuple[Subject, list[Reading]]]:
        facts, limits = self._facts, self._limits
        # Of positions that are behind their prices nothing can be said but that: STALE_ROLLUP.
        fresh = facts.engine_lag_ms() <= self._stale_ms
        for name, account in facts.money().accounts.items() if fresh else ():
            drawdown = [
                Reading(value, limit, of)
                for value, limit, of in (
                    (account.drawdown_ratio, limits.drawdown_ratio, " of equity"),
                    (account.drawdown, limits.drawdown, ""),
                )
                if value is not None and limit is not None
            ]
            if drawdown:
                yield Subject(DRAWDOWN, name), drawdown
            ratio = account.exposure_ratio
            if ratio is not None and limits.exposure_ratio is not None:
                yield Subject(EXPOSURE, name), [Reading(ratio, limits.exposure_ratio)]
        if facts.feed_ms is not None:
            yield Subject(STALE_PRICES, FEED), [Reading(_age(now, facts.feed_ms), self._stale)]
        for name, delay_ms in facts.bar_delay_ms().items():
            if name in self.stale_after_ms:
                limit = self.stale_after_ms[name] * UNIT // MS
                yield Subject(STALE_PRICES, name), [Reading(delay_ms * UNIT // MS, limit)]
        if facts.plan.has_paper:
            for name, since_ms in facts.waits_since().items():
                waited = 0 if since_ms is None else _age(now, since_ms)
                yield Subject(STALE_ROLLUP, name), [Reading(waited, self._stale)]

    def metrics(self) -> Iterator[Metric]:
        """How alerts stand."""
        yield gauge(
            "risk_alert_active",
            "Whether an alert of risk stands",
            ("code", "subject"),
            ((subject, float(one.is_active)) for subject, one in self._standing.items()),
        )

    def limits(self) -> Iterator[Metric]:
        """Where alerts begin, of which the configuration alone decides."""
        limits = {
            "DRAWDOWN_RATIO": self._limits.drawdown_ratio,
            "DRAWDOWN_ABSOLUTE": self._limits.drawdown,
            "EXPOSURE_RATIO": self._limits.exposure_ratio,
            "STALE_SECONDS": self._stale,
        }
        yield gauge(
            "risk_threshold",
            "Where alerts of risk begin, by monitoring.alerts",
            ("code",),
            (((code,), limit / UNIT) for code, limit in limits.items() if limit is not None),
        )
        yield gauge(
            "prices_stale_after_seconds",
            "How long the symbol may be without a bar, in the feed's time",
            ("symbol",),
            (((name,), ms / MS) for name, ms in self.stale_after_ms.items()),
        )

    def row(self, change: Change) -> list[object]:
        """The change as a row of risk_alerts_history."""
        values: dict[str, object] = {
            "alert_id": change.alert_id,
            "account_id": change.subject.name if change.subject.code in OF_ACCOUNTS else None,
            "code": change.subject.code,
            "state": change.state,
            "message": message(change),
            "value": to_decimal(change.reading.value),
            "threshold": to_decimal(change.reading.limit),
            "ts": change.ts,
            "run_id": self._facts.plan.run_id,
        }
        return [values[column.name] for column in RISK_ALERTS_HISTORY.stored]


def message(change: Change) -> str:
    """What happened, for a person."""
    code, name = change.subject
    value, limit = plain_text(change.reading.value), plain_text(change.reading.limit)
    what = {
        DRAWDOWN: f"open positions of {name} lose {value}{change.reading.of}",
        EXPOSURE: f"positions of {name} are {value} times its equity",
        STALE_PRICES: f"{'the feed is silent' if name == FEED else f'{name} has no bar'} "
        f"for {value} s",
        STALE_ROLLUP: f"a bar of {name} waits for the engine for {value} s",
    }[code]
    return f"{what}, {'below' if change.state == CLEARED else 'the limit is'} {limit}"


def _age(now: float, since_ms: int) -> int:
    waited_ms: int = max(0, int(now * MS) - since_ms)
    return waited_ms * UNIT // MS
