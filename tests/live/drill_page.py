"""The drills of docs/drills.md: each section's commands, and what they should print."""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parents[2] / "docs" / "drills.md"
ANYTHING = "..."


class Block(NamedTuple):
    """Commands, and the lines that their output should have in this order; `...` is anything."""

    commands: str
    expected: Sequence[str]


class Drill(NamedTuple):
    """A section of the page."""

    title: str
    blocks: Sequence[Block]


def drills(text: str) -> list[Drill]:
    """All sections that have commands, in the order of the page."""
    found = []
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title = section.partition("\n")[0]
        fenced = re.findall(r"^```(sh|text)\n(.*?)^```$", section, re.M | re.S)
        blocks: list[Block] = []
        for language, body in fenced:
            if language == "sh":
                blocks.append(Block(body, ()))
            else:
                blocks[-1] = blocks[-1]._replace(expected=body.splitlines())
        if blocks:
            found.append(Drill(title, blocks))
    return found


def missing(expected: Sequence[str], output: str) -> str | None:
    """The first line that is expected and does not come, in this order; None where all do."""
    lines = iter(line.rstrip() for line in output.splitlines())
    for wanted in expected:
        if wanted.strip() == ANYTHING:
            continue
        pattern = re.compile(fnmatch.translate(as_pattern(wanted.rstrip())))
        if not any(pattern.match(line) for line in lines):
            return wanted
    return None


def as_pattern(line: str) -> str:
    """A line as fnmatch reads it."""
    return "*".join(re.sub(r"([*?[])", r"[\1]", part) for part in line.split(ANYTHING))
