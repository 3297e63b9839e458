"""Metrics of the client library from labels and values."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

Values = Iterable[tuple[Sequence[str], float]]  # labels in the order of their names, and the value


def gauge(name: str, words: str, labels: Sequence[str], values: Values) -> Metric:
    """A gauge with these values."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for found, value in values:
        family.add_metric(found, value)
    return family


def counter(name: str, words: str, labels: Sequence[str], values: Values) -> Metric:
    """A counter with these values; `_total` is added to its name."""
    family = CounterMetricFamily(name, words, labels=labels)
    for found, count in values:
        family.add_metric(found, count)
    return family
