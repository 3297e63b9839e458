"""Where a store is."""

from typing import NamedTuple

from jobs.store.login import Login
from udfs.errors import ConfigError, nearest

FLUSS, KAFKA = "fluss", "kafka"
STORES = (FLUSS, KAFKA)
EXAMPLES = {FLUSS: "localhost:9123", KAFKA: "localhost:9092"}


class StorePlace(NamedTuple):
    """Where tables are: the kind of the store, its address, a database in it, and who asks.

    With Kafka a database is how the names of its topics begin.
    """

    kind: str
    bootstrap: str
    database: str
    login: Login | None = None

    @property
    def address(self) -> str:
        """As `store_place` reads it."""
        return f"{self.kind}://{self.bootstrap}"


def store_place(address: str, database: str, kind: str | None = None) -> StorePlace:
    """The place of an address, `HOST:PORT` or `KIND://HOST:PORT`; a kind in it counts first.

    ConfigError where that is no store's.
    """
    named, scheme, rest = address.partition("://")
    if not scheme:
        return StorePlace(kind or FLUSS, address, database)
    if named not in STORES:
        raise ConfigError(
            f"{address!r}: {named} is no kind of store{nearest(named, STORES)}; write "
            "HOST:PORT, fluss://HOST:PORT or kafka://HOST:PORT"
        )
    return StorePlace(named, rest, database)


def address(given: object, kind: str | None = None) -> str:
    """The address of `store.addresses`: a text, a list of them, or the one under the store's kind.

    ConfigError where it has none of that kind.
    """
    if isinstance(given, dict):
        name = kind or STORES[0]
        if name not in given:
            raise ConfigError(
                f"store.addresses: has {', '.join(map(str, given))}; the address of a {name} store "
                f"stands under {name}, such as {{{name}: {EXAMPLES[name]}}}"
            )
        return str(given[name])
    return ",".join(map(str, given)) if isinstance(given, list) else str(given)
