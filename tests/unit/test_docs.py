"""The documents agree with the code: links, commands, configuration, what the example prints."""

import importlib.util
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pyarrow.parquet as pq
import pytest
import typer
import yaml
from pydantic import BaseModel
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from cli.render import render_report
from cli.simulate import write_simulated
from jobs.engine_files import run_engine
from jobs.run import RunRequest, execute
from schemas.config import parse_config
from schemas.config_models import Config
from scripts import render_features

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FOLDERS = (
    "benchmarks", "cli", "conf", "deploy", "docs", "examples", "feeds", "jobs", "notebooks",
    "schemas", "scripts", "tests", "udfs",
)  # fmt: skip

# Commands that tables.md names as readers or writers and that do not exist. May only shrink.
PLANNED = {"docs/tables.md": {"explain"}}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a language, without the indentation of a list that they stand in."""
    fenced = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text_of(name), re.M | re.S)
    return [re.sub(f"^{indent}", "", block, flags=re.M) for indent, block in fenced]


def code_texts(name: str) -> Iterator[str]:
    """Code spans, and the lines of shell blocks, continued ones joined, comments cut."""
    for block in blocks(name, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.partition(" #")[0]
    without = re.sub(r"^ *```.*?^ *```$", "", text_of(name), flags=re.M | re.S)
    yield from re.findall(r"`([^`\n]+)`", without)


def slugs(name: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(name), re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


# ---- what a page points to -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / name).parent / path if path else ROOT / name
        page = target.resolve().relative_to(ROOT).as_posix()
        if not target.exists() or (anchor and anchor not in slugs(page)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_paths_exist(name: str) -> None:
    named = {text for text in code_texts(name) if text.startswith(FOLDERS)}
    paths = {text for text in named if re.fullmatch(r"\w+(/[\w.]+)+", text) or text in FOLDERS}
    assert not [path for path in sorted(paths) if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_modules_exist(name: str) -> None:
    modules = set(re.findall(r"python -m ((?:jobs|cli|scripts)[.\w]*)", text_of(name)))
    modules |= set(re.findall(r"^from ([\w.]+) import", "\n".join(blocks(name, "python")), re.M))
    assert not [module for module in modules if importlib.util.find_spec(module) is None]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_outside_the_project_is_named(name: str) -> None:
    assert "shared/" not in text_of(name)


# ---- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    named = {word for text in code_texts(name) for word in re.findall(r"^make ([a-z-]+)", text)}
    assert named <= targets


def command_problem(words: list[str]) -> str | None:
    """What is unknown in a command line of tradeflow."""
    command: Any = typer.main.get_command(app)
    options: set[str] = {"--help"}
    for word in words:
        if not word.startswith("-") and hasattr(command, "commands"):
            if word not in command.commands:
                return word
            command = command.commands[word]
        options |= {option for param in command.params for option in param.opts}
        if word.startswith("--") and word.partition("=")[0] not in options:
            return word
    return None


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_exist(name: str) -> None:
    wrong = []
    for text in code_texts(name):
        program, *words = shlex.split(text) if "tradeflow " in text else [""]
        if program in ("tradeflow", ".venv/bin/tradeflow"):
            problem = command_problem(words)
            if problem is not None and problem not in PLANNED.get(name, ()):
                wrong.append(f"{text}: {problem}")
    assert not wrong


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("backtest --config x --set a=1", None),
        ("data simulate --days 3", None),
        ("backtst", "backtst"),
        ("backtest --cap 3", "--cap"),
        ("data invent", "invent"),
    ],
)
def test_the_reader_of_commands_sees_what_is_wrong(line: str, problem: str | None) -> None:
    assert command_problem(line.split()) == problem


def test_planned_commands_are_still_missing() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert not [name for names in PLANNED.values() for name in names if name in known]


# ---- configuration ---------------------------------------------------------------------------

ANY_SYMBOLS = {"BTCUSD": None}
ANY_ACCOUNT = {"id": "main", "sizing": {"notional": "1000"}}


@pytest.mark.parametrize("name", NAMES)
def test_configurations_parse(name: str) -> None:
    """Also pieces: what a snippet lacks of a whole configuration is put beside it."""
    for block in blocks(name, "yaml"):
        snippet = yaml.safe_load(block)
        strategies = [strategy["id"] for strategy in snippet["strategies"]]
        rest = {"symbols": ANY_SYMBOLS, "accounts": [{**ANY_ACCOUNT, "strategies": strategies}]}
        parse_config({**rest, **snippet}, name)


def config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the configuration with its default as the page writes it."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if is_group(one)]
        if inner:
            many = "[]" if get_origin(field.annotation) is list else ""
            many = ".NAME" if key == "symbols" else many
            yield from config_keys(inner[0], f"{key}{many}.")
        else:
            yield key, "required" if field.is_required() else default_text(model, name)


def is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def default_text(model: type[BaseModel], name: str) -> str:
    """A default as YAML writes it, in a code span; `none` where there is none."""
    defaults = {one: f.default for one, f in model.model_fields.items() if not f.is_required()}
    value = model.model_construct(**defaults).model_dump(include={name}, warnings=False)[name]
    if value is None:
        return "none"
    printed = yaml.safe_dump(value, default_flow_style=True)
    return f"`{printed.removesuffix(chr(10)).removesuffix(chr(10) + '...')}`"


def test_every_key_stands_in_the_page_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| ([^|]+) \|", text_of("docs/configuration.md"), re.M)
    shown = [(key, default) for key, default in rows if not key.isupper()]
    assert sorted(shown) == sorted(config_keys(Config))


# ---- rendered and real -----------------------------------------------------------------------


def test_the_page_of_features_is_rendered() -> None:
    assert text_of("docs/features.md") == render_features.render()


def test_the_readme_shows_what_the_example_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_simulated(Path("data/example"))
    config = parse_config(yaml.safe_load(text_of("conf/backtest.yaml")))
    request = RunRequest(config, (), Path("runs"), False, False, "local", 1)
    report = execute(request, lambda done, total: None)
    output = io.StringIO()
    render_report(Console(file=output, width=120), report, 1.0)
    printed = {" ".join(line.split()) for line in output.getvalue().splitlines()}
    shown = blocks("README.md", "text")[0].splitlines()
    told = [" ".join(line.split()) for line in shown if not line.startswith("runs/demo ")]
    assert not [line for line in told if line not in printed]


def test_the_readmes_fills_give_the_matches_that_it_tells(tmp_path: Path) -> None:
    file = tmp_path / "fills.csv"
    file.write_text(blocks("README.md", "csv")[0])
    report = run_engine(file, tmp_path, "LIVE", None, False)
    matches = pq.read_table(report.folder / "trade_match_history.parquet")
    (lot,) = pq.read_table(report.folder / "open_positions_lots.parquet").to_pylist()
    assert [f"{net.normalize():f}" for net in matches["net_pnl"].to_pylist()] == ["39.56", "4.885"]
    assert (lot["qty_rem"], lot["avg_price"]) == (lot["qty_rem"].from_float(0.5), 110)
    assert report.manifest["duplicates"] == 1
    assert "net 39.56;" in text_of("README.md")
    assert "net 4.885)" in text_of("README.md")


def test_the_page_of_own_strategies_shows_the_example() -> None:
    example = text_of("examples/my_strategy.py")
    shown = blocks("docs/own-strategies.md", "python")
    assert len(shown) >= 8
    assert not [block for block in shown if block not in example]
    config = text_of("examples/my_strategy.yaml")
    assert not [b for b in blocks("docs/own-strategies.md", "yaml") if b not in config]


def test_the_commands_of_the_page_of_own_strategies_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--check` of the example itself is in tests/unit/test_lookahead_page.py."""
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    commands = "".join(blocks("docs/own-strategies.md", "sh")).splitlines()
    copied, checked, simulated, traded = commands
    subprocess.run(shlex.split(copied), check=True)
    assert checked == "tradeflow strategies --check mine.py"
    assert Path("mine.py").read_text() == text_of("examples/my_strategy.py")
    assert simulated == "tradeflow data simulate"
    write_simulated(Path("data/example"), symbols=["ALFAUSD", "BRAVOUSD"])
    done = CliRunner().invoke(app, [*shlex.split(traded)[1:], "--json"])
    assert done.exit_code == 0, done.output
    trips = {row["strategy_id"]: row["round_trips"] for row in json.loads(done.stdout)["summary"]}
    assert trips["straight"] > 50
    assert sum(name.startswith("searched/") for name in trips) == 6
