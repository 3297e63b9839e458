"""The dashboards' expressions asked of a real Prometheus, over HTTP alone."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from scripts.dashboards.queries import Expression, queries


def empty_answers(prometheus_url: str, timeout_s: float = 10.0) -> list[str]:
    """What is wrong, a line each: errors, and no answer where there must be one.

    `prometheus_url` is like http://127.0.0.1:9190. NaN is an answer: of 0 by 0, or of no tick.
    """
    found = []
    for expression in queries():
        problem = _problem(prometheus_url, expression, timeout_s)
        if problem:
            found.append(f"{expression.place}: {problem}: {expression.text}")
    return found


def _problem(prometheus_url: str, expression: Expression, timeout_s: float) -> str:
    asked = urllib.parse.urlencode({"query": expression.text})
    try:
        with urllib.request.urlopen(
            f"{prometheus_url}/api/v1/query?{asked}", timeout=timeout_s
        ) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        return str(json.load(error).get("error", error))
    if told["data"]["result"] or expression.may_be_empty:
        return ""
    return "no answer"
