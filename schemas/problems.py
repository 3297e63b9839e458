"""What is wrong with a configuration, as values, and as one message that fits a screen."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from udfs.errors import ConfigError, nearest

SHOWN_PROBLEMS = 10
SHOWN_LENGTH = 60  # characters of a value that a message repeats
SHOWN_NAME = 200  # characters of a key; ids of combinations are long

Where = tuple[str | int, ...]

MISSING_HINTS = {
    "symbols": 'write one such as symbols: {BTCUSD: {price_tick: "0.01"}}',
    "strategies": "name at least one",
    "accounts": "write at least one",
    "id": "write a name such as id: my-id",
    "kind": "write one such as kind: ema_cross",
    "sizing": 'write one such as sizing: {notional: "10000"} or sizing: {fixed_qty: "1"}',
}


class Problem(NamedTuple):
    """One thing that is wrong: the path of keys and list indices, and a sentence about it."""

    where: Where
    text: str


def refuse(source: str, problems: Sequence[Problem], overridden: Sequence[Where] = ()) -> None:
    """Raise one ConfigError that lists the problems, if there are any.

    `source` begins each line (the file's name); what stands under a path of `overridden` came
    from the command line, and its line begins with `--set`.
    """
    if not problems:
        return
    lines = []
    for problem in problems[:SHOWN_PROBLEMS]:
        is_set = any(problem.where[: len(path)] == path for path in overridden)
        parts = ["--set" if is_set else source, key_text(problem.where), problem.text]
        lines.append(": ".join(part for part in parts if part))
    rest = len(problems) - SHOWN_PROBLEMS
    if rest > 0:
        lines.append(f"... and {rest} more")
    raise ConfigError("\n".join(lines))


def key_text(where: Where) -> str:
    """A path as people write it: `accounts[0].limits.maxNotional`."""
    text = ""
    for step in where:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step != "[key]":
            name = step if step.isprintable() and len(step) <= SHOWN_NAME else shown(step)
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """A value as a message repeats it, cut to a bearable length."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Pydantic's findings about `model` in our words."""
    return [
        Problem(found["loc"], _text(dict(found), model))
        for found in error.errors(include_url=False)
    ]


def _text(found: dict[str, Any], model: type[BaseModel]) -> str:
    """One finding of pydantic as a sentence that says what would be right."""
    value = shown(found["input"])
    match found["type"]:
        case "value_error":
            return str(found["ctx"]["error"])
        case "missing":
            hint = MISSING_HINTS.get(str(found["loc"][-1]))
            return f"is missing; {hint}" if hint else "is missing"
        case "extra_forbidden":
            return f"is not a known key{_nearest_key(found['loc'], model)}"
        case "bool_type" | "bool_parsing":
            return f"{value} is not true or false; write one of these, without quotes"
        case "string_type":
            quoted = json.dumps(str(found["input"]))
            return f"{value} is not text; write it in quotes, such as {quoted}"
        case "list_type":
            return f"{value} is not a list; write one such as [a, b]"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{value} is not a group of keys; write one such as {{key: value}}"
        case "literal_error":
            expected = found["ctx"]["expected"]
            names = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
            return f"{value} is not one of {expected}{nearest(str(found['input']), names)}"
    return f"{value}: {found['msg']}"


def _nearest_key(where: Where, model: type[BaseModel]) -> str:
    """The nearest known name for an unknown key, or all that its group knows.

    A name that another group has (maxEntries at the top) is answered with its dotted spelling.
    """
    group = model
    for step in where[:-1]:
        field = _fields(group).get(str(step))
        group = (_model_in(field) or group) if field is not None else group
    word = str(where[-1])
    for name in _dotted_names(model):
        if name.endswith(f".{word}"):
            return f" (did you mean '{name}'?)"
    known = _fields(group)
    return nearest(word, known) or f"; the known ones are {', '.join(known)}"


def _fields(model: type[BaseModel]) -> dict[str, object]:
    """The keys of a model as the file spells them, with their types."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field holds, also as the items of a list or the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def _dotted_names(model: type[BaseModel]) -> list[str]:
    """The dotted names of all keys of nested groups, lists and mappings left out."""
    names = []
    for name, annotation in _fields(model).items():
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names += [f"{name}.{inner}" for inner in _dotted_names(annotation)]
        else:
            names.append(name)
    return names
