"""The report of a run under faults, as JSON and as text."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.engine import Outcome
from tests.chaos.faults import KILL, kind
from tests.chaos.verdict import Verdict


class Ran(NamedTuple):
    """What was asked for, what happened, and what the tables say then."""

    asked: dict[str, Any]
    outcomes: Sequence[Outcome]
    notes: Sequence[str]
    seconds: float
    verdict: Verdict


def times(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """How long the output stood still by kind of fault: count, median, p95 and worst, in s."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in outcomes:
        if one.was_there:
            found.setdefault((kind(one.fault.target), one.fault.how), []).append(one.stood_s)
    return [
        {"target": target, "how": how, "count": len(stood), **spread(stood)}
        for (target, how), stood in sorted(found.items())
    ]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, p95 (the smallest value that 95 % do not pass) and worst."""
    ranked = sorted(seconds)
    last = len(ranked)
    at = {"median_s": last / 2, "p95_s": last * 0.95, "worst_s": last}
    return {name: round(ranked[math.ceil(place) - 1], 1) for name, place in at.items()}


def as_dict(ran: Ran) -> dict[str, Any]:
    """All of it as JSON holds it."""
    met = [one for one in ran.outcomes if one.was_there]
    return {
        **ran.asked,
        "kills": sum(one.fault.how == KILL for one in met),
        "pauses": sum(one.fault.how != KILL for one in met),
        "seconds": round(ran.seconds),
        "wrong": ran.verdict.wrong,
        "notes": list(ran.notes),
        "stood_still": times(ran.outcomes),
        "rows": ran.verdict.rows,
        "refused": ran.verdict.refused,
        "gaps": ran.verdict.gaps,
        "over_cap": ran.verdict.over_cap,
        "faults": [
            {**one.fault._asdict(), "was_there": one.was_there, "stood_s": round(one.stood_s, 1),
             "back_s": round(one.back_s, 1)}
            for one in ran.outcomes
        ],
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"seed {found['seed']}, patience {found['patience']}: {found['kills']} kills and "
        f"{found['pauses']} pauses in {found['seconds'] / 60:.0f} minutes",
        "",
        "output stood still, s      count  median     p95   worst",
        *(
            f"{one['target']:14} {one['how']:9} {one['count']:8} {one['median_s']:7.1f} "
            f"{one['p95_s']:7.1f} {one['worst_s']:7.1f}"
            for one in found["stood_still"]
        ),
        "",
        f"rows         {sum(found['rows'].values()):,} in {len(found['rows'])} tables",
        f"refused      at least {sum(found['refused'].values()):,} writes of rows that were there",
        f"gaps         {sum(found['gaps'].values()):,} ticks went on without another stage",
        f"over the cap {found['over_cap']}",
        *(f"note: {one}" for one in found["notes"]),
        "wrong        " + ("nothing" if not found["wrong"] else ""),
        *(f"  {one}" for one in found["wrong"]),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, ran: Ran) -> str:
    """Write chaos.json and chaos.txt into the folder; the text."""
    found = as_dict(ran)
    (folder / "chaos.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    told = text(found)
    (folder / "chaos.txt").write_text(told, encoding="utf-8")
    return told
