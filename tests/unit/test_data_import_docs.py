"""Each command of docs/data.md on importing and checking runs, on files as the page has them."""

import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
START = 1_717_200_000
SECTIONS = ("Import", "Check")


def commands() -> list[list[str]]:
    """The command lines of the sections, as words."""
    text = PAGE.read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    mine = [part for part in sections if part.startswith(SECTIONS)]
    blocks = re.findall(r"```sh\n(.*?)```", "\n".join(mine), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def rows(form: str, minutes: int = 60, step: int = 60) -> str:
    """Lines of a text with {ts} in s, {o}, {h}, {l}, {c}, {clock}."""
    lines = []
    for i in range(minutes):
        price = 100 + 0.01 * (i % 7)
        clock = f"20240601 {i // 60:02}{i % 60:02}00"
        lines.append(form.format(ts=START + step * i, o=price, h=price + 1, l=price - 1, c=price,
                                 clock=clock))  # fmt: skip
    return "\n".join(lines)


def test_each_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    klines = rows("{ts}000,{o},{h},{l},{c},5,0,0,0,0,0,0")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        with zipfile.ZipFile(f"{symbol}-1m-2024-06.zip", "w") as archive:
            archive.writestr(f"{symbol}-1m-2024-06.csv", klines)
    Path("XBTUSD_1.csv").write_text(rows("{ts},{o},{h},{l},{c},5,3"))
    candles = [line.split(",") for line in rows("{ts}000,{o},{c},{h},{l},5").splitlines()]
    Path("candles.json").write_text(json.dumps([[float(v) for v in row] for row in candles]))
    with zipfile.ZipFile("package.whl", "w") as archive:
        hours = rows("{ts},{o},{h},{l},{c},5", step=3600)
        archive.writestr("datasets/hours.csv", "time,open,high,low,close,volume\n" + hours)
        archive.writestr("package/__init__.py", "")
    Path("minutes.csv").write_text(rows("{clock};{o};{h};{l};{c};0"))
    found = commands()
    assert len(found) >= 8
    for words in found:
        assert words[:2] == ["tradeflow", "data"]
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (words, done.stdout, done.stderr)
    assert len(list(Path("data").glob("*/*.parquet"))) == 6
    assert not list(Path("data").glob("*/rejects"))
