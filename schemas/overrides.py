"""Overrides of keys as they stand on a command line: `key=value`, the value as YAML reads it."""

from collections.abc import Sequence

import yaml

from udfs.errors import ConfigError


def settings(pairs: Sequence[str]) -> dict[str, object]:
    """Dotted keys with values; ConfigError where one is not key=value or its value is not YAML."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {pair}: write key=value, such as --set tradepicker.maxOpenPositions=5"
            )
        found[key.strip()] = yaml_value(f"--set {key}", text)
    return found


def yaml_value(name: str, text: str) -> object:
    """The value that YAML reads from `text`; `name` is what an error calls it."""
    try:
        return yaml.safe_load(text)
    except ValueError:
        return text  # such as 2019-13-01: the key's own check says what is wrong
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or "it can't be read"
        raise ConfigError(f"{name}: {text!r} is no YAML value: {reason}") from None
