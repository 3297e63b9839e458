"""All expressions of the rendered dashboards, as Prometheus takes them.

Read from the files, so that what is asked is what Grafana would ask. It needs no SDK.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "grafana" / "dashboards"

# What Grafana puts in by itself, at the range and the step that a test asks for.
FILLED_IN = {"__rate_interval": "1m", "__interval": "1m", "__range": "1h"}
EVERYTHING = ".*"  # of a variable with all its values chosen

# Places, as patterns, whose expressions may have no answer while all is well, and why.
MAY_BE_EMPTY = {
    "*: event Process starts": "nothing was started in the last minute",
    "*: event Job restarts": "no job restarted in the last minute",
    "*: event Alerts": "no alert fires",
    "trading: Largest unrealized by symbol*": "no position is open",
    "gate: Open symbols: A": "no account has a cap",
    "gate: Reserved symbols: A": "no account has a cap",
    "gate: Open and reserved symbols: *": "no account has a cap",
    "gate: Refused by account and code: A": "nothing was refused",
    "freshness: Symbols: B": "the check of bars' delay is off for all symbols",
    "freshness: Bar delay by symbol: B": "the check of bars' delay is off for all symbols",
    "risk: Exposure, of its limit: A": "no limit of exposure is set",
    "risk: Drawdown by account: B": "no absolute limit of drawdown is set",
    "risk: Exposure ratio by account: B": "no limit of exposure is set",
    "risk: Firing now: A": "no alert fires",
    "risk: Fired in the time shown: A": "no alert has fired",
    "risk: Alerts over time: A": "no alert fires",
}


class Expression(NamedTuple):
    """An expression without variables, and where it stands: `dashboard: panel: letter`."""

    place: str
    text: str

    @property
    def may_be_empty(self) -> bool:
        """Whether no answer can be right."""
        return any(fnmatchcase(self.place, pattern) for pattern in MAY_BE_EMPTY)


def queries(folder: Path = FOLDER) -> list[Expression]:
    """Every expression of every panel, variable and annotation."""
    return [
        Expression(f"{file.stem}: {place}", filled_in(expression))
        for file in sorted(folder.glob("*.json"))
        for place, expression in _of_dashboard(json.loads(file.read_text(encoding="utf-8")))
    ]


def filled_in(expression: str) -> str:
    """The expression with everything chosen: no variable is left."""
    return re.sub(r"\$(\w+)", lambda name: FILLED_IN.get(name[1], EVERYTHING), expression)


def _of_dashboard(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in tree["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']}: {target['refId']}", target["expr"]
    for variable in tree["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", _selector(variable["query"]["query"])
    for annotation in tree["annotations"]["list"]:
        yield f"event {annotation['name']}", annotation["expr"]


def _selector(question: str) -> str:
    """The series whose label's values a variable offers."""
    found = re.fullmatch(r"label_values\((.+), \w+\)", question)
    if found is None:
        raise ValueError(f"{question!r} is not label_values(series, label)")
    return found[1]
