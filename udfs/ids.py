"""Ids that are functions of their inputs, so that a replay gives the same rows."""

import hashlib

SEPARATOR = "\x1f"
ID_LENGTH = 32


def hash_id(*parts: object) -> str:
    """The first 32 hex digits of SHA-256 over the parts as UTF-8 text joined by U+001F."""
    text = SEPARATOR.join(map(str, parts))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def signal_id(run_id: str, strategy_id: str, symbol: str, ts: int) -> str:
    """A signal's id; `ts` is the close of its anchor bar."""
    return hash_id(run_id, strategy_id, symbol, ts)


def order_id(account_id: str, signal: str) -> str:
    """The id of the order that an accepted signal becomes: always the same for the same signal."""
    return hash_id(account_id, signal)


def paper_fill_id(order: str) -> str:
    """The id of the one fill that the paper broker gives an order."""
    return f"{order}:1"
