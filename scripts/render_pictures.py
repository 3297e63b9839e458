"""Render the README's pictures: `python -m scripts.render_pictures`.

They show account main of the example run, conf/backtest.yaml over the bars that `tradeflow data
simulate` writes. The same code gives the same bytes; a test holds docs/pictures against it.
"""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from cli.render import results_table, sections, signals_table
from cli.simulate import write_simulated
from jobs.run import RunReport, RunRequest, execute
from schemas.config import parse_config
from scripts.equity_metrics import equity_curve
from scripts.pictures import equity_picture

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
ACCOUNT = "main"
NOTE = "The example run, on simulated bars: no market's data"
COLUMNS = 104  # of the picture of the screen
# A light screen with the colours of scripts/pictures.py for gains and losses.
THEME = TerminalTheme(
    (255, 255, 255),
    (34, 34, 34),
    [(0, 0, 0), (213, 94, 0), (0, 120, 90), (160, 110, 0), (0, 114, 178), (130, 60, 130),
     (0, 120, 140), (119, 119, 119)],
)  # fmt: skip
# rich's own has a window's buttons, and names a font on a server, which a page does not load.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}"
  xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 17px; font-family: sans-serif; fill: #777777; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect width="100%" height="100%" fill="white" />
<text class="{unique_id}-title" x="9" y="27">NOTE</text>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@contextmanager
def example_run() -> Iterator[RunReport]:
    """The example run, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        write_simulated(Path(folder) / "bars")
        tree = yaml.safe_load((ROOT / "conf/backtest.yaml").read_text(encoding="utf-8"))
        config = parse_config({**tree, "prices.files": f"{folder}/bars/*.parquet"})
        request = RunRequest(config, (), Path(folder), False, False, "local", 1)
        yield execute(request, lambda done, total: None)


class Pictures(NamedTuple):
    """What docs/pictures holds; `equity_text` stands in the PNG and changes with what it shows."""

    equity: Figure
    equity_text: str
    summary: str


def pictures(report: RunReport) -> Pictures:
    """The pictures of a run's account."""
    (start,) = (
        float(account["start_capital"])
        for account in report.manifest["config"]["accounts"]
        if account["id"] == ACCOUNT
    )
    curve = equity_curve(report.folder, account=ACCOUNT)
    digest = hashlib.sha256(curve.to_csv(float_format="%.6f").encode()).hexdigest()[:16]
    title = f"Equity and drawdown of account {ACCOUNT}"
    return Pictures(
        equity_picture(curve, start_capital=start, title=title, note=NOTE),
        f"{title}. {NOTE}. Data {digest}.",
        summary_svg(report),
    )


def summary_svg(report: RunReport) -> str:
    """What the command prints of the account."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False,
        color_system="standard",
    )  # fmt: skip
    (section,) = (one for one in sections(report.summary) if one.account_id == ACCOUNT)
    console.print(results_table(section))
    console.print()
    console.print(signals_table(section))
    console.print()
    return console.export_svg(theme=THEME, code_format=SVG.replace("NOTE", NOTE))


def main() -> None:
    """Write docs/pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with example_run() as report:
        found = pictures(report)
    # No version of matplotlib in the file: it says nothing of the picture.
    told = {"Software": None, "Description": found.equity_text}
    found.equity.savefig(FOLDER / "equity.png", metadata=told)
    (FOLDER / "summary.svg").write_text(found.summary, encoding="utf-8")


if __name__ == "__main__":
    main()
