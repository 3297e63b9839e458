"""What stands on the command line, as overrides of the configuration's keys."""

from collections.abc import Mapping, Sequence

from udfs.errors import ConfigError

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
    found: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {setting}: write key=value, such as --set tradepicker.maxOpenPositions=5"
            )
        found[key.strip()] = yaml_value(f"--set {key}", text)
    for option, value in options.items():
        if isinstance(value, str):
            found[OPTION_KEYS[option]] = (
                value if option == "--run-id" else yaml_value(option, value)
            )
        elif value:
            found[OPTION_KEYS[option]] = value
    return found


def yaml_value(name: str, text: str) -> object:
    """The value that YAML reads from `text`; `name` is what an error calls it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except ValueError:
        return text  # such as 2019-13-01: the key's own check says what is wrong
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or "it can't be read"
        raise ConfigError(f"{name}: {text!r} is no YAML value: {reason}") from None


def by_option(message: str, options: Mapping[str, object]) -> str:
    """A message about keys in which those that options set are called by the option's name."""
    for option, value in options.items():
        if value is not None:
            message = message.replace(f"--set: {OPTION_KEYS[option]}", option)
    return message
