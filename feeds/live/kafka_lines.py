"""Lines of a topic of somebody else's Kafka, in the order of the messages' times.

A message is a line of CSV (columns in the table's order, no header needed) or a JSON object; it may
hold several lines. No offset is kept and no group joined: what is in the store says from when on to
read, an hour more is read again, and rows that are there stay.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from feeds.fetch_patience import pause_s
from feeds.live.feed import FEED
from feeds.live.lines import MAX_LINE_BYTES, Columns, Line, shown
from feeds.live.venue_clock import Outage
from jobs.store import reading
from jobs.store.client import Client
from schemas.ops import PROGRESS
from schemas.trading import EXEC_REPORT_HISTORY
from udfs.errors import ConfigError, Refusal, nearest

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

REREAD_MS = 3_600_000  # messages of one time may come so much later than others
POLL_MS = 200
TAKEN_AT_ONCE = 2_000
HELD = 5_000  # messages of a partition that wait for those of others
STUCK_S = 2.0  # a partition that gives nothing for so long, though it has some, is passed by
LOOK_S = 30.0  # between looks whether the brokers answer, and whether there are new partitions
WAIT_MS = 10_000
MOST_S = 30.0
OTHERS_MODE = 0o077
# What a settings file may name, in kafka-python's words.
SETTINGS = (
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "client_id",
)


class Message(NamedTuple):
    """A message: its time in ms, and its bytes (None: a deletion)."""

    ts: int
    value: bytes | None


def settings_of(file: Path | None) -> dict[str, object]:
    """How to reach the brokers: lines `key=value` of a file that only its owner may read."""
    if file is None:
        return {}
    try:
        if file.stat().st_mode & OTHERS_MODE:
            raise ConfigError(f"--kafka-settings: {file} may be read by others; chmod 600 {file}")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--kafka-settings: {file} cannot be read: {error.strerror}") from None
    found: dict[str, object] = {}
    for number, row in enumerate(text.splitlines(), 1):
        key, equals, value = (part.strip() for part in row.partition("="))
        if not key or key.startswith("#"):
            continue
        if key not in SETTINGS or not equals:
            raise ConfigError(
                f"--kafka-settings: line {number} of {file}: expected key=value with a key of "
                f"{', '.join(SETTINGS)}{nearest(key, SETTINGS)}"
            )
        found[key] = value.lower() == "true" if key == "ssl_check_hostname" else value
    return found


def since(client: Client, is_reports: bool) -> int | None:
    """The time from which messages are read: what the store has, and an hour more before it."""
    if is_reports:
        rows = reading.tail(client, EXEC_REPORT_HISTORY, lambda rows: bool(rows))
        newest = max((row["ts"] for row in rows), default=None)
    else:
        rows = reading.tail(
            client, PROGRESS, lambda rows: any(row["stage"] == FEED for row in rows)
        )
        newest = max((row["ts"] for row in rows if row["stage"] == FEED), default=None)
    return None if newest is None else newest - REREAD_MS


def lines_of(value: bytes | None, columns: Columns) -> list[Line]:
    """A message's lines; `columns` has its header."""
    found = []
    for raw in (value or b"").split(b"\n"):
        if len(raw) > MAX_LINE_BYTES:
            found.append(Line(None, "no end of line", shown(raw)))
            continue
        line = json_line(raw, columns) if raw.lstrip()[:1] == b"{" else columns.line(raw)
        if line is not None and not _is_header(line):
            found.append(line)
    return found


def _is_header(line: Line) -> bool:
    return line.values is not None and all(key == value for key, value in line.values.items())


def json_line(raw: bytes, columns: Columns) -> Line:
    """A line of a JSON object: numbers as they are written, null as nothing."""
    try:
        found = json.loads(raw, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return Line(None, "not JSON", shown(raw))
    if not isinstance(found, dict):
        return Line(None, "not a JSON object", shown(raw))
    for name in columns.required:
        if name not in found:
            return Line(None, f"no {name!r}{nearest(name, found)}", shown(raw))
    return Line({name: _text(found.get(name)) for name in columns.used})


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


class Merge:
    """Messages of several partitions in the order of their times.

    One waits until every partition that has more to give has given some; a stuck one is passed by.
    """

    def __init__(self) -> None:
        self._held: dict[int, deque[Message]] = {}
        self._last: dict[int, float] = {}

    def add(self, partition: int, messages: Sequence[Message], now_s: float) -> None:
        """Messages of a partition, in its order; none where it is only said to be there."""
        self._held.setdefault(partition, deque()).extend(messages)
        if messages or partition not in self._last:
            self._last[partition] = now_s

    def held(self, partition: int) -> int:
        """How many of a partition wait."""
        return len(self._held[partition])

    def take(self, at_end: set[int], now_s: float) -> list[Message]:
        """Those that can go on; `at_end`: partitions that have no more for now."""
        found: list[Message] = []
        while not any(
            not held and number not in at_end and now_s - self._last[number] < STUCK_S
            for number, held in self._held.items()
        ):
            heads = [(held[0].ts, number) for number, held in self._held.items() if held]
            if not heads:
                break
            found.append(self._held[min(heads)[1]].popleft())
        return found


class Topic:
    """A topic as a source of lines. `since_ms`: None for its beginning."""

    def __init__(
        self,
        brokers: str,
        topic: str,
        settings: Mapping[str, object],
        since_ms: int | None,
        say: Callable[[str], None],
    ) -> None:
        self._brokers, self._topic, self._settings = brokers, topic, settings
        self._since_ms, self._say = since_ms, say
        self._outage = Outage(f"Kafka at {brokers}", say)
        self._merge = Merge()
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what is wrong is said here, once

    def batches(self, stop: threading.Event, columns: Columns) -> Iterator[list[Line]]:
        """Lines as they come; an empty list now and then. Ends when stopped."""
        from kafka.errors import KafkaError

        columns.line(",".join(columns.used).encode())
        while not stop.is_set():
            consumer = None
            try:
                consumer = self._consumer()
                for messages in self._messages(consumer, stop):
                    yield [line for one in messages for line in lines_of(one.value, columns)]
                    if messages:
                        self._since_ms = max(message.ts for message in messages) - REREAD_MS
            except KafkaError as error:
                if _is_refusal(error):
                    raise Refusal(f"Kafka at {self._brokers}: {_shown(error)}") from error
                yield []
                stop.wait(pause_s(self._outage.failed(_shown(error)), 1.0, MOST_S))
            finally:
                if consumer is not None:
                    consumer.close(autocommit=False, timeout_ms=WAIT_MS)

    def _consumer(self) -> "KafkaConsumer":
        from kafka import KafkaConsumer

        return KafkaConsumer(
            bootstrap_servers=self._brokers.split(","),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=WAIT_MS,
            **self._settings,
        )

    def _messages(
        self, consumer: "KafkaConsumer", stop: threading.Event
    ) -> Iterator[list[Message]]:
        self._merge = Merge()
        partitions = self._begin(consumer)
        looked = time.monotonic()
        while not stop.is_set():
            polled: dict[Any, Any] = consumer.poll(POLL_MS, TAKEN_AT_ONCE)
            now_s = time.monotonic()
            for partition, records in polled.items():
                messages = [Message(record.timestamp, record.value) for record in records]
                self._merge.add(partition.partition, messages, now_s)
            yield self._merge.take(_at_end(consumer, partitions), now_s)
            for partition in partitions:
                is_full = self._merge.held(partition.partition) > HELD
                (consumer.pause if is_full else consumer.resume)(partition)
            if now_s - looked > LOOK_S:
                looked = now_s
                consumer.end_offsets(partitions, WAIT_MS)  # raises where no broker answers
                if len(consumer.partitions_for_topic(self._topic) or ()) != len(partitions):
                    return

    def _begin(self, consumer: "KafkaConsumer") -> "list[TopicPartition]":
        """Go to where to begin in every partition."""
        from kafka import TopicPartition

        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            known = sorted(consumer.topics())
            raise ConfigError(
                f"--topic {self._topic}: the brokers at {self._brokers} show no such topic"
                f"{nearest(self._topic, known)}"
            )
        self._outage.mended()
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        if self._since_ms is None:
            consumer.seek_to_beginning(*partitions)
        else:
            found = consumer.offsets_for_times(dict.fromkeys(partitions, max(0, self._since_ms)))
            ends = consumer.end_offsets(partitions, WAIT_MS)
            for partition in partitions:
                at = found.get(partition)
                consumer.seek(partition, ends[partition] if at is None else at.offset)
        for partition in partitions:
            self._merge.add(partition.partition, (), time.monotonic())
        return partitions


def _at_end(consumer: "KafkaConsumer", partitions: "Sequence[TopicPartition]") -> set[int]:
    """Partitions whose newest message was polled."""
    found = set()
    for partition in partitions:
        high = consumer.highwater(partition)
        if high is not None and consumer.position(partition) >= high:
            found.add(partition.partition)
    return found


def _is_refusal(error: Exception) -> bool:
    """Whether it is of no use to try again: wrong password, forbidden topic."""
    from kafka import errors

    return isinstance(
        error,
        errors.AuthorizationError
        | errors.SaslAuthenticationFailedError
        | errors.KafkaConfigurationError,
    )


def _shown(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text if type(error).__name__ in text else f"{type(error).__name__} {text}".strip()
