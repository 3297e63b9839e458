"""A stack's configuration: which keys may change while the run stays the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.stack.state import CONFIG, Stack
from schemas.config import config_as_dict
from schemas.config_models import Config
from udfs.errors import ConfigError

# They decide how a run is worked, not what comes out of it.
FREE = ("wm.", "live.", "store.", "report.", "monitoring.", "fluss.")
FREE_OF_SYMBOLS = (".liquid", ".stale_after")
SHOWN = 5


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as config.json and run_history hold it, with the code that it names."""
    return config_as_dict(config)


def written(folder: Path) -> dict[str, object]:
    """The configuration that a stack's folder holds; ConfigError where it can't be read."""
    try:
        found: dict[str, object] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder / CONFIG} can't be read ({error}): take another --dir, or remove {folder} "
            "with all its data"
        ) from None
    return found


def json_text(tree: Mapping[str, Any]) -> str:
    """Sorted keys, so that equal configurations are equal texts."""
    return json.dumps(tree, sort_keys=True, ensure_ascii=False)


def digest(text: str) -> str:
    """SHA-256, the first 32 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; items of lists by their id, else by their place."""
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(tree, list) and tree and all(isinstance(one, Mapping) for one in tree):
        for number, one in enumerate(tree):
            yield from flat(one, f"{prefix}.{one.get('id', number)}")
    else:
        yield prefix, tree


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys that differ with both values, None where it is not given; those that are free last."""
    old, new = dict(flat(before)), dict(flat(now))
    found = [
        (key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if _value(old, key) != _value(new, key)
    ]
    return sorted(found, key=lambda one: (is_free_key(one[0]), one[0]))


def _value(tree: Mapping[str, Any], key: str) -> Any:
    """A key's value; what is off was off, too, in the code that did not know of it."""
    value = tree.get(key)
    return None if value is False else value


def is_free_key(key: str) -> bool:
    """Whether the key decides nothing about trades."""
    return key.startswith(FREE) or (key.startswith("symbols.") and key.endswith(FREE_OF_SYMBOLS))


def refuse_changes(stack: Stack, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys that changed and may; ConfigError names those that would make another run of it."""
    remedy = "give it another run.id (it then gets a folder of its own)"
    if now["run"]["id"] != stack.run_id:
        raise ConfigError(
            f"{stack.folder} holds the run {stack.run_id!r}, not {now['run']['id']!r}: "
            "leave out --dir, or name another folder"
        )
    changed = changes(before, now)
    hard = [one for one in changed if not is_free_key(one[0])]
    if hard:
        told = [f"{key} was {_shown(old)} and is {_shown(new)}" for key, old, new in hard[:SHOWN]]
        more = [f"{len(hard) - SHOWN} more"] if len(hard) > SHOWN else []
        raise ConfigError(
            f"run {stack.run_id!r} was started with another configuration: "
            + "; ".join([*told, *more])
            + f". What it has written would not fit: {remedy}, or set the old values"
        )
    return [key for key, _, _ in changed]


def _shown(value: Any) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)
