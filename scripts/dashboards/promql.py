"""Pieces of PromQL that all dashboards write in the same way."""

# Variables of the dashboards, by the label that they choose from.
LABELS = {
    "run": "run",
    "account": "account",
    "strategy": "strategy",
    "symbol": "symbol",
    "stage": "stage",
    "job_name": "job",
}


def series(metric: str, *chosen: str, **exact: str) -> str:
    """A selector: the run that is chosen, labels that a variable chooses, labels of one value.

    Every series has the label `run`, as two runs may have accounts of the same names.
    """
    by_variable = [f'{label}=~"${LABELS[label]}"' for label in ("run", *chosen)]
    by_value = [f'{label}="{value}"' for label, value in exact.items()]
    return f"{metric}{{{','.join(by_variable + by_value)}}}"


def alerts(metric: str = "ALERTS", **exact: str) -> str:
    """The alerts of the run, and those that are of no run, as an absent metric has no label."""
    by_value = "".join(f',{label}="{value}"' for label, value in exact.items())
    return f'{metric}{{run=~"$run|"{by_value}}}'


def total(selector: str, *labels: str) -> str:
    """The sum over everything but these labels."""
    return _aggregated("sum", selector, labels)


def largest(selector: str, *labels: str) -> str:
    """The largest value over everything but these labels."""
    return _aggregated("max", selector, labels)


def per_minute(counter: str, *labels: str) -> str:
    """How often something happens, a minute."""
    return f"60 * {total(f'rate({counter}[$__rate_interval])', *labels)}"


def since_point(counter: str, *labels: str) -> str:
    """How often it happened since the point before, for rare things.

    The window is as long as the step, so that nothing is counted twice.
    """
    return total(f"increase({counter}[$__interval])", *labels)


def in_range(counter: str, *labels: str) -> str:
    """How often it happened in the time that the dashboard shows."""
    return total(f"increase({counter}[$__range])", *labels)


def or_zero(expression: str, known: str) -> str:
    """The expression, and 0 for what `known` has and it lacks.

    A pair without an open position has no series of its own. `known` goes when the exporter
    can't read the store, and the 0 goes with it.
    """
    return f"{expression} or 0 * {known}"


def share_of_limit(selector: str, code: str) -> str:
    """A value as a share of the threshold of this code."""
    return f"{selector} / on (run) group_left () {series('risk_threshold', code=code)}"


def _aggregated(function: str, selector: str, labels: tuple[str, ...]) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"{function}{by}({selector})"
