"""From a YAML file (or a dict) with dotted and nested keys to one nested tree, with overrides."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from schemas.problems import Problem, Where, key_text, shown
from udfs.errors import ConfigError, nearest

Tree = dict[str, Any]

# Below these, names are people's own and may hold dots.
NAMED_GROUPS = ("symbols", "strategies", "accounts")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)

    def timestamp_or_text(self, node: yaml.ScalarNode) -> object:
        """A time, or its text where it is none (2019-13-01): the key's own check names the key."""
        try:
            return self.construct_yaml_timestamp(node)
        except ValueError:
            return node.value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.timestamp_or_text)


def read_yaml(path: Path) -> dict[Any, Any]:
    """The file as a dict. ConfigError names the file and the line where it can't be read."""
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    try:
        data = yaml.load(content, Loader=_Loader)  # a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_line(error)}: {_reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: holds {shown(data)}; a configuration is a group of keys such as symbols: ..."
        )
    return data


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" line {mark.line + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None)
    return str(problem) if problem else f"is not valid YAML: {' '.join(str(error).split())}"


def nested(data: Mapping[Any, Any]) -> tuple[Tree, list[Problem]]:
    """The same configuration with every dotted key nested, copied; the input is left alone."""
    tree: Tree = {}
    problems: list[Problem] = []
    _merge_all(tree, data, (), problems)
    return tree, problems


def _merge_all(tree: Tree, data: Mapping[Any, Any], base: Where, problems: list[Problem]) -> None:
    for key, value in data.items():
        if isinstance(key, str):
            _merge(tree, _steps(key, value, base), value, base, problems)
        else:
            text = f'the key {shown(key)} is not text; write it in quotes, such as "{key}"'
            problems.append(Problem(base, text))


def _steps(key: str, value: object, base: Where) -> list[str]:
    """The path that a key names below `base`."""
    if base and base[0] in NAMED_GROUPS:
        return [key]
    steps = key.split(".")
    if base or steps[0] not in NAMED_GROUPS or len(steps) == 1:
        return steps
    if steps[0] != "symbols":
        return [key]  # items of a list have no dotted spelling
    if isinstance(value, Mapping) or value is None or len(steps) == 2:
        return ["symbols", ".".join(steps[1:])]
    return ["symbols", ".".join(steps[1:-1]), steps[-1]]


def _merge(
    tree: Tree, steps: list[str], value: object, base: Where, problems: list[Problem]
) -> None:
    """Put `value` at `steps` of `tree`; what is there already is a problem, unless groups meet."""
    name, rest = steps[0], steps[1:]
    where = (*base, name)
    is_group = bool(rest) or isinstance(value, Mapping)
    if is_group and tree.get(name) is None:  # absent, or an empty section
        tree[name] = {}
    present = tree.get(name)
    if is_group and isinstance(present, dict):
        if rest:
            _merge(present, rest, value, where, problems)
        elif isinstance(value, Mapping):
            _merge_all(present, value, where, problems)
    elif name not in tree:
        tree[name] = _copied(value)
    elif value is not None or not isinstance(present, dict):
        problems.append(Problem(where, "is given twice, dotted and nested; keep one of them"))


def _copied(value: Any) -> Any:
    """A deep copy with lists where tuples were, so that dicts made in Python read like YAML."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return copy.copy(value)


def apply_overrides(
    tree: Tree, overrides: Mapping[str, object]
) -> tuple[list[Where], list[Problem]]:
    """Set each dotted key in `tree`, in order; answers the paths that were set, and what failed.

    Items of lists are named by index or by id: `accounts.0.fee_bps`, `accounts.acct-1.fee_bps`.
    """
    paths: list[Where] = []
    problems: list[Problem] = []
    for key, value in overrides.items():
        path = _set(tree, key.split("."), value, problems)
        paths.append(path)
    return paths, problems


def _set(tree: Tree, steps: list[str], value: object, problems: list[Problem]) -> Where:
    """Set one override; answers its path (as far as it was found)."""
    node: Any = tree
    path: Where = ()
    while True:
        name, rest, problem = _step(node, steps, path)
        if problem is not None:
            problems.append(Problem((*path, *steps), problem))
            return (*path, *steps)
        path = (*path, name)
        if not rest:
            node[name] = _override_value(value, path, problems)
            return path
        if isinstance(node, dict) and node.get(name) is None:
            node[name] = {}
        node, steps = node[name], rest


def _override_value(value: object, path: Where, problems: list[Problem]) -> object:
    if not isinstance(value, Mapping) or path[0] in NAMED_GROUPS:
        return _copied(value)
    group: Tree = {}
    _merge_all(group, value, path, problems)
    return group


def _step(node: object, steps: list[str], path: Where) -> tuple[str | int, list[str], str | None]:
    """The next key or index, the steps that are left, and why there is no such place, if so."""
    if isinstance(node, list):
        ids = [item.get("id") if isinstance(item, dict) else None for item in node]
        count = _known_prefix(steps, ids)
        if count:
            return ids.index(".".join(steps[:count])), steps[count:], None
        if steps[0].isascii() and steps[0].isdigit() and int(steps[0]) < len(node):
            return int(steps[0]), steps[1:], None
        known = [name for name in ids if isinstance(name, str)]
        hint = nearest(steps[0], known) or f"; the ids are {', '.join(known)}"
        return "", [], f"{key_text(path)} has no item {steps[0]!r}{hint}"
    if not isinstance(node, dict):
        return "", [], f"{key_text(path)} is {shown(node)}, which has no keys below it"
    if path == ("symbols",):
        count = _known_prefix(steps, list(node))
        if not count and len(steps) > 1:
            return "", [], f"there is no symbol {steps[0]!r}{nearest(steps[0], node)}"
        count = count or 1
        return ".".join(steps[:count]), steps[count:], None
    if path and path[-1] == "weights":
        return ".".join(steps), [], None
    return steps[0], steps[1:], None


def _known_prefix(steps: list[str], names: list[Any]) -> int:
    """How many of the steps, joined, are one of the names: the longest; 0 where none is."""
    for count in range(len(steps), 0, -1):
        if ".".join(steps[:count]) in names:
            return count
    return 0
