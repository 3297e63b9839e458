"""What a live stage wrote before it was started again, read back from the store by its own client.

A stage goes on from its last checkpoint; what it wrote after that is in the log, and the log is the
truth. Read once after each start, by the workers, so it must not need Flink.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from jobs.live.stage import Value
from jobs.store import reading
from jobs.store.client import open_client
from jobs.store.place import StorePlace
from schemas.codec import decimal_text
from schemas.table import Kind, Table
from udfs.errors import InvariantError

SLACK_MS = 60_000  # clocks of two processes, and rows on their way to the store


class Journal(NamedTuple):
    """Reads the tail of a history of this place; plain data, so that jobs can carry it.

    Of Kafka also what was not committed, or undone: a stage decides by what it has said.
    """

    place: StorePlace

    def __call__(self, table: Table, since_ms: int) -> Sequence[Mapping[str, Value]]:
        """Rows that the table got since a wall clock (and a minute before), in order of its log."""
        if table.kind is not Kind.HISTORY:
            raise InvariantError(f"{table.name} is no history")
        with open_client(self.place, retry_s=None) as client:
            rows = reading.written_since(client, table, max(0, since_ms - SLACK_MS))
        return [{name: plain(value) for name, value in row.items()} for row in rows]


def plain(value: object) -> Value:
    """A value as live stages have it: decimals as text; maps are not read back."""
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value if isinstance(value, str | int | float | bool) else None
