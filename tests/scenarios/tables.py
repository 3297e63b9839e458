"""Text tables: cases of named sections, and numbers as they show them."""

from decimal import Context, Decimal
from typing import NamedTuple

EXACT = Context(prec=100)


class Case(NamedTuple):
    """One table: section name to its lines."""

    name: str
    sections: dict[str, list[str]]


def read_cases(text: str) -> list[Case]:
    """The cases of a file; ValueError for a line outside a section."""
    cases: list[Case] = []
    lines: list[str] | None = None
    for line in text.splitlines():
        word, _, rest = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if word == "case":
            cases.append(Case(rest.strip(), {}))
            lines = None
        elif not line.startswith(" "):
            lines = cases[-1].sections.setdefault(word, [])
            if rest.strip():
                lines.append(rest.strip())
        elif lines is None:
            raise ValueError(f"{line!r} stands outside a section")
        else:
            lines.append(line.strip())
    return cases


def wide_text(amount: int) -> str:
    """Units of 10^-36 as plain decimal text."""
    number = Decimal(amount).scaleb(-36, EXACT).normalize(EXACT)
    return f"{number if number else Decimal(0):f}"
