"""Alertmanager's webhook, version 4, and the messages that people get of it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from udfs.errors import ContractError

VERSION = "4"
FIRING, RESOLVED = "firing", "resolved"
# Labels that name what an alert is about, in the order in which they are read; others follow.
SUBJECT = ("account", "strategy", "symbol", "job", "job_name", "process", "stage", "table", "code")
NOT_SUBJECT = ("alertname", "severity", "run")
LONGEST_TEXT = 300
MOST_SUBJECTS = 3
MOST_LINES = 10  # so that a message with all its lines is shorter than Telegram's 4,096 letters


class Alert(NamedTuple):
    """One alert as Alertmanager tells it, its texts in one printable line each."""

    is_firing: bool
    name: str
    severity: str
    run: str
    subject: str
    summary: str
    action: str
    runbook: str


class Message(NamedTuple):
    """What is sent of alerts of one name, severity, run and state; `subjects` are theirs."""

    alert: Alert
    subjects: tuple[str, ...]
    title: str
    body: str


def parse(text: bytes, runbook_base: str) -> list[Alert]:
    """The alerts of a webhook; ContractError says what is wrong with it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ContractError("the body is no JSON") from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ContractError(f"the body is no webhook of Alertmanager of version {VERSION}")
    alerts = data.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        raise ContractError("alerts: a list of at least one alert is needed")
    return [_alert(one, number, runbook_base) for number, one in enumerate(alerts)]


def _alert(data: object, number: int, runbook_base: str) -> Alert:
    where = f"alerts[{number}]"
    if not isinstance(data, dict):
        raise ContractError(f"{where}: an object is needed")
    if data.get("status") not in (FIRING, RESOLVED):
        raise ContractError(f"{where}.status: {FIRING} or {RESOLVED} is needed")
    labels, notes = (_texts(data, key, where) for key in ("labels", "annotations"))
    if not labels.get("alertname"):
        raise ContractError(f"{where}.labels.alertname: a name is needed")
    runbook = notes.get("runbook_url", "")
    return Alert(
        is_firing=data["status"] == FIRING,
        name=labels["alertname"],
        severity=labels.get("severity", ""),
        run=labels.get("run", ""),
        subject=_subject(labels),
        summary=notes.get("summary") or notes.get("description") or labels["alertname"],
        action=notes.get("action", ""),
        runbook=runbook if not runbook or "://" in runbook else runbook_base + runbook,
    )


def _texts(data: Mapping[str, Any], key: str, where: str) -> dict[str, str]:
    found = data.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ContractError(f"{where}.{key}: an object of texts is needed")
    return {name: _line(text) for name, text in found.items()}


def _line(text: str) -> str:
    """One printable line, as a log needs it, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"


def _subject(labels: Mapping[str, str]) -> str:
    rest = sorted(name for name in labels if name not in SUBJECT + NOT_SUBJECT)
    return " ".join(labels[name] for name in (*SUBJECT, *rest) if name in labels)


def messages(alerts: Iterable[Alert]) -> list[Message]:
    """One message for all alerts of a name, severity, run and state."""
    groups: dict[tuple[bool, str, str, str], list[Alert]] = {}
    for one in alerts:
        groups.setdefault((one.is_firing, one.name, one.severity, one.run), []).append(one)
    return [_message(group) for group in groups.values()]


def _message(group: list[Alert]) -> Message:
    first = group[0]
    subjects = tuple(one.subject for one in group)
    lines = [one.summary for one in group[:MOST_LINES]]
    if len(group) > MOST_LINES:
        lines.append(f"and {len(group) - MOST_LINES} more")
    if first.is_firing:
        lines += ["", first.action] if first.action else []
    else:
        lines = ["It is over. It was:", *lines]
    lines += ["", first.runbook] if first.runbook else []
    return Message(first, subjects, title(first, subjects), "\n".join(lines))


def title(alert: Alert, subjects: tuple[str, ...]) -> str:
    """`[FIRING critical] UnrealizedDrawdown main (run live)`."""
    state = f"{FIRING if alert.is_firing else RESOLVED}".upper()
    named = ", ".join(filter(None, subjects[:MOST_SUBJECTS]))
    if len(subjects) > MOST_SUBJECTS:
        named += f" and {len(subjects) - MOST_SUBJECTS} more"
    head = f"[{state} {alert.severity}]" if alert.severity else f"[{state}]"
    run = f"(run {alert.run})" if alert.run else ""
    return " ".join(filter(None, (head, alert.name, named, run)))


def log_line(alert: Alert) -> str:
    """All of an alert in one line."""
    parts = (alert.summary, alert.action if alert.is_firing else "", alert.runbook)
    return f"{title(alert, (alert.subject,))}: {' | '.join(filter(None, parts))}"
