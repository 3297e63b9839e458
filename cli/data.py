"""`tradeflow data`: bars to try things on."""

from datetime import datetime
from pathlib import Path

import typer

from cli.errors import told
from cli.help import examples

SIMULATE_EXAMPLES = examples(
    ("tradeflow data simulate", "what conf/backtest.yaml runs on"),
    ("... --out data/year --days 365 --seed 3", "other bars, for longer"),
)


def simulate(
    out: Path = typer.Option(
        Path("data/example"), metavar="DIR", help="The folder; files of the same name are replaced."
    ),
    seed: int | None = typer.Option(
        None, metavar="N", help="Another seed, other bars.", show_default="the example's"
    ),
    start: datetime | None = typer.Option(
        None,
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The first UTC day.",
        show_default="the example's",
    ),
    days: int | None = typer.Option(
        None, metavar="N", min=1, help="How many days.", show_default="a month"
    ),
    symbols: list[str] | None = typer.Option(
        None, metavar="SYMBOL", help="Only this symbol. Repeatable.", show_default="all of them"
    ),
) -> None:
    """Write simulated 1-minute bars, one Parquet file per symbol; no market's data, and no advice.

    The same options write the same bytes.
    """
    given = {
        "seed": seed,
        "start": None if start is None else start.date(),
        "days": days,
        "symbols": symbols or None,
    }
    with told("interrupted: what is in the folder is whole files"):
        from cli.simulate import write_simulated

        chosen = {name: value for name, value in given.items() if value is not None}
        for path in write_simulated(out, **chosen):  # type: ignore[arg-type]
            print(path)
