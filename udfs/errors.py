"""The whole tree of errors.

Outcomes that belong to trading (a refused signal, a bad row) are rows, not exceptions; these four
are for what is left.
"""

import difflib
from collections.abc import Iterable


class TradeflowError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigError(TradeflowError):
    """Wrong before anything started: the message says what, where, and what would be right."""


class ContractError(TradeflowError):
    """A row breaks its table's contract: it goes to a rejects table and the job lives."""


class Refusal(TradeflowError):
    """A command that is refused for a reason that a user can mend (an existing run folder)."""


class InvariantError(TradeflowError):
    """What must always hold does not: crash and restart from the last checkpoint."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest of `known`, or an empty string."""
    names = list(known)
    close = [name for name in names if name.casefold() == word.casefold()]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
