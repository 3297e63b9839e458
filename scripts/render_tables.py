"""Write docs/tables.md from the contracts: `python -m scripts.render_tables`."""

from pathlib import Path

from schemas.table import Table, markdown, names_text
from schemas.tables import OLD_NAMES, TABLES, OldName

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tables.md"

INTRODUCTION = """\
# Tables

Rendered from `schemas/` by `python -m scripts.render_tables`; a test keeps the two equal.

- A **history** table is a log of facts: rows are appended, the first row of a key stays, and a
  repeated one changes nothing. A **latest** table holds one row per key, replaced and deleted as
  things change; it can be rebuilt from history.
- Times are UTC epoch milliseconds (BIGINT). Quantities, prices, fees and profits are
  DECIMAL(38, 18); "quote" means: in the symbol's quote currency. Text compares by its UTF-8 bytes.
- Columns stand in the order of the files. Stores have the key first, then the rest as here.
- Maps are JSON text in files. In a latest table of a store everything beside the key may be null,
  because a DELETE may carry the key alone.
"""

OLD_NAMES_TEXT = """\
## Old names

Columns as users of earlier systems may know them. Nothing here answers to the old names.

| old name | name here | where |
|---|---|---|
"""


def overview(tables: list[Table]) -> str:
    """One line per table."""
    rows = [
        "| table | kind | key | event time | written by | read by |",
        "|---|---|---|---|---|---|",
    ]
    for table in tables:
        event_time = f"`{table.event_time}`" if table.event_time else "none"
        rows.append(
            f"| [{table.name}](#{table.name}) | {table.kind.value} | {names_text(table.key)} "
            f"| {event_time} | {table.written_by} | {table.read_by} |"
        )
    return "\n".join(rows) + "\n"


def places(name: OldName) -> str:
    """Tables that have the column, or that there are too many to list."""
    if name.where:
        return name.where
    found = [table.name for table in TABLES.values() if name.now in table.names]
    return names_text(found) if len(found) <= 4 else "wherever it occurs"


def render() -> str:
    """The whole page."""
    tables = list(TABLES.values())
    old = [f"| `{name.old}` | `{name.now}` | {places(name)} |\n" for name in OLD_NAMES]
    parts = [INTRODUCTION, overview(tables), *map(markdown, tables), OLD_NAMES_TEXT + "".join(old)]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
