"""What stands on the command line, as overrides of the configuration's keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udfs.errors import ConfigError

if TYPE_CHECKING:  # it loads slowly, and help needs none of it
    from schemas.config_models import Config

# Options that are another spelling of a key.
OPTION_KEYS = {
    "--prices": "prices.files",
    "--start": "run.start",
    "--end": "run.end",
    "--run-id": "run.id",
}


def overrides(settings: Sequence[str], options: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys with values as YAML reads them, from `--set` and from options that were given.

    An option that is None or empty was not given; one that was comes after all of `--set`.
    ConfigError where a setting is not key=value or its value is not YAML.
    """
    from schemas.overrides import settings as settings_of
    from schemas.overrides import yaml_value

    found = settings_of(settings)
    for option, value in options.items():
        if isinstance(value, str):
            found[OPTION_KEYS[option]] = (
                value if option == "--run-id" else yaml_value(option, value)
            )
        elif value:
            found[OPTION_KEYS[option]] = value
    return found


def by_option(message: str, options: Mapping[str, object]) -> str:
    """A message about keys in which those that options set are called by the option's name."""
    for option, value in options.items():
        if value is not None:
            message = message.replace(f"--set: {OPTION_KEYS[option]}", option)
    return message


def load(path: Path, settings: Sequence[str], options: Mapping[str, object]) -> "Config":
    """The checked configuration of a file with what stands on the command line.

    ConfigError names what an option set by the option.
    """
    from schemas.config import load_config

    found = overrides(settings, options)
    try:
        return load_config(path, found)
    except ConfigError as error:
        raise ConfigError(by_option(str(error), options)) from None
