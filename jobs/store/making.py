"""The contracts' tables in a store, made by its own client: no Java, no SQL."""

from jobs.store.client import Client


def make_tables(client: Client, retention_days: int | None = None) -> None:
    """Make the database and its tables where they are not there; others may do it at once.

    `retention_days` is how long new histories keep rows, None: for good.
    """
    client.make(retention_days)
