"""What a process answers Prometheus, as values."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from udfs.errors import Refusal

PATIENCE_S = 5.0


class Sample(NamedTuple):
    """One value with its labels."""

    labels: Mapping[str, str]
    value: float


class Samples:
    """All values of one scrape, by the name of the metric."""

    def __init__(self, text: str) -> None:
        self._found: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                self._found.setdefault(one.name, []).append(Sample(one.labels, one.value))

    def names(self) -> set[str]:
        """Of all that have values."""
        return set(self._found)

    def of(self, name: str) -> list[Sample]:
        """The values of a metric, none where it is absent."""
        return self._found.get(name, [])

    def one(self, name: str, **labels: str) -> float | None:
        """The value with these labels; None where there is none, the first of several."""
        found = (one.value for one in self.of(name) if labels.items() <= one.labels.items())
        return next(found, None)

    def by(self, name: str, *labels: str) -> Iterator[tuple[tuple[str, ...], float]]:
        """Labels in this order, and the value."""
        for one in self.of(name):
            yield tuple(one.labels[label] for label in labels), one.value


def scrape(address: str) -> Samples:
    """What is answered at the address; Refusal where nothing is."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            return Samples(answer.read().decode("utf-8"))
    except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
        raise Refusal(f"{address} does not answer: {error}") from None
