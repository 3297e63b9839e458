"""The commands of docs/lookahead.md print what it shows."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.simulate import write_simulated

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lookahead.md").read_text(encoding="utf-8")
CHANGING = re.compile(r"^compared .*|^ +ok +speed .*")  # times


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if not CHANGING.match(line)]


@pytest.mark.slow
def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_simulated(Path("data/example"), symbols=["ALFAUSD", "BRAVOUSD"])
    for folder in ("examples", "tests"):
        Path(folder).symlink_to(ROOT / folder)
    Path("leaky.yaml").write_text(blocks("yaml")[0])
    assert blocks("python")[0] in (ROOT / "tests/own/future_strategy.py").read_text()
    simulated, fine, leaky, example, _ = "".join(blocks("sh")).splitlines()
    assert simulated == "tradeflow data simulate"
    for command, shown, code in ((leaky, 1, 1), (example, 2, 0)):
        result = CliRunner(env={"COLUMNS": "130"}).invoke(app, shlex.split(command)[1:])
        assert result.exit_code == code, result.output
        assert lines(result.stdout) == lines(blocks("text")[shown])
    few = "--strategy straight --end 2024-03-02 --consecutive 10 --random 5"
    result = CliRunner().invoke(app, shlex.split(f"{fine} {few}")[1:])
    assert result.exit_code == 0, result.output
    starts = [line.split()[0] for line in blocks("text")[0].splitlines() if line[:1].strip()]
    assert starts == [line.split()[0] for line in result.stdout.splitlines() if line[:1].strip()]
