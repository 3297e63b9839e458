"""docs/sweeps.md: its commands run, and print what it shows."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which all commands of the page ran, and what they printed."""
    folder = tmp_path_factory.mktemp("page")
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "120")
        Path("sweep.yaml").write_text(blocks("yaml")[0])
        for command in "".join(blocks("sh")).splitlines():
            name, *arguments = command.split()
            assert name == "tradeflow"
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, done.output
            printed.append(done.stdout)
    return folder, "\n".join(printed)


def test_the_commands_print_what_the_page_shows(output: tuple[Path, str]) -> None:
    printed = lines_of(output[1])
    assert not [line for line in lines_of(blocks("text")[0]) if line not in printed]


def test_the_page_lists_every_column(output: tuple[Path, str]) -> None:
    listed = {
        name
        for names in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.M)
        for name in re.findall(r"\w+", names)
    }
    columns = pq.read_schema(output[0] / "runs" / "crosses" / "sweep.parquet").names
    assert listed == {re.sub("^param_.*", "param_NAME", name) for name in columns}


def test_the_python_of_the_page_runs(
    output: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(output[0])
    values: dict[str, object] = {}
    exec(blocks("python")[0], values)
    assert values["table"].shape == (4, 6)  # type: ignore[attr-defined]
