"""Where messages go: URLs of apprise, which are secrets and appear in no text that is made here."""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import apprise

from jobs.notifier.messages import Message
from udfs.errors import ConfigError

URLS, FILE = "TRADEFLOW_NOTIFY_URLS", "TRADEFLOW_NOTIFY_FILE"
OTHERS_MODE = 0o077
TIMEOUT_S = 10.0  # Alertmanager waits a minute for all of them
REMEMBERED_S = 3600.0
STATUS = re.compile(r"\berror ?[=:] ?(\d{3})\b")


class Destination(NamedTuple):
    """Where messages go; `name` says which of the URLs it is, without any part of it."""

    name: str
    service: apprise.Apprise


def destinations(environment: Mapping[str, str]) -> list[Destination]:
    """What the two variables name; ConfigError where one of them is of no use."""
    asset = apprise.AppriseAsset(app_id="tradeflow", app_desc="tradeflow", allow_templates=False)
    return [_destination(where, url, asset) for where, url in _urls(environment)]


def _urls(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each URL, and where it stands."""
    for number, url in enumerate(environment.get(URLS, "").split(), start=1):
        yield f"{URLS}, URL {number}", url
    name = environment.get(FILE, "").strip()
    if not name:
        return
    file = Path(name).expanduser()
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{FILE}: {file} is no text of UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{FILE}: {file}: {error.strerror}") from None
    if mode & OTHERS_MODE:
        raise ConfigError(f"{FILE}: others may read {file}; `chmod 600 {file}`")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.strip().startswith("#"):
            yield f"{file}, line {number}", line.strip()


def _destination(where: str, url: str, asset: apprise.AppriseAsset) -> Destination:
    try:
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - what a plugin makes of a wrong URL may quote it
        plugin = None
    if plugin is None:
        raise ConfigError(f"{where}: no URL that apprise knows; docs/runbooks.md has examples")
    service = apprise.Apprise(asset=asset)
    service.add(plugin)
    return Destination(f"{where} ({plugin.service_name})", service)


class Delivery:
    """Sends messages to all destinations.

    Alertmanager repeats what was not delivered to all. Those that have it are passed over then, for
    an hour; what they were told of last is kept by destination, alert and run.
    """

    def __init__(self, found: Sequence[Destination]) -> None:
        self._destinations = found
        self._lock = threading.Lock()
        self._told: dict[tuple[object, ...], tuple[object, float]] = {}

    def send(self, message: Message) -> list[str]:
        """Deliver one message; which destinations did not take it, and why."""
        alert = message.alert
        state = (alert.is_firing, frozenset(message.subjects))
        own = [(one.name, alert.name, alert.severity, alert.run) for one in self._destinations]
        problems = []
        with self._lock:  # one after another: services limit how fast they are spoken to
            for one, key in zip(self._destinations, own, strict=True):
                known, at = self._told.get(key, (None, 0.0))
                if known == state and time.monotonic() - at < REMEMBERED_S:
                    continue
                problem = _tell(one, message)
                if problem:
                    problems.append(f"{one.name}: {problem}")
                else:
                    self._told[key] = (state, time.monotonic())
            if not problems:
                for key in own:
                    self._told.pop(key, None)
        return problems


def _tell(to: Destination, message: Message) -> str:
    """Why a destination did not take a message; empty where it did."""
    kind = apprise.NotifyType.SUCCESS
    if message.alert.is_firing:
        is_critical = message.alert.severity == "critical"
        kind = apprise.NotifyType.FAILURE if is_critical else apprise.NotifyType.WARNING
    try:
        result = to.service.notify(
            title=message.title,
            body=message.body,
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
            timeout=TIMEOUT_S,
        )
    except Exception as error:  # noqa: BLE001 - its text may quote the URL, its kind does not
        return type(error).__name__
    if result:
        return ""
    # Of what apprise says, the status of HTTP alone: the rest names hosts, at times more.
    codes = [found[1] for one in result.logs() for found in STATUS.finditer(one.message)]
    return f"answered {codes[-1]}" if codes else "not delivered"
