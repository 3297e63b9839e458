"""Feeds of a live store: replayed bars and lines, killed, cut off from the store, and run twice."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds.live.ingest_bars import BarIntake, ingest_bars
from feeds.live.lines import Chunks, Columns
from feeds.live.replay import Pace, Replayed, replay
from feeds.live.waiting import Watch, instances
from jobs.sources import COLUMNS, list_files, plan_tasks
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from jobs.store.making import make_tables
from jobs.symbol_stage import Intake
from schemas.config import Config, config_as_dict, parse_config
from schemas.market import PRICE_1M_HISTORY, PRICE_REJECTS
from schemas.ops import PROGRESS
from schemas.resolve import plan_run
from tests.local_stores import KINDS, Running, kill_and_revive, local_store
from udfs.bar_checks import BAR_CODES
from udfs.errors import Refusal

ROOT = Path(__file__).parents[2]
BASE_MS = 60_000
DAY_MS = 86_400_000
START = 1_700_000_040_000
SYMBOLS = ("AAAUSD", "BBBUSD", "CCCUSD")
FED = (PRICE_1M_HISTORY, PROGRESS, PRICE_REJECTS)


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with local_store(request.param, tmp_path_factory.mktemp("store")) as started:
        yield started


def config_of(files: str, **run: Any) -> Config:
    return parse_config(
        {
            "run": {"id": "fed", **run},
            "prices.files": files,
            "symbols": {name: {} for name in SYMBOLS},
            "strategies": [{"id": "s", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}}],
            "accounts": [{"id": "main", "strategies": ["s"], "sizing": {"fixed_qty": "1"}}],
        }
    )


def good_bars(minutes: int, seed: int) -> list[list[str]]:
    """Bars in the order of time, with holes."""
    pick = random.Random(seed)
    return [
        [symbol, str(START + n * BASE_MS), "1.5", "2.5", "0.5", f"{pick.random() + 1:.3f}", "7"]
        for n in range(minutes)
        if n % 17 > 2
        for symbol in SYMBOLS
        if pick.random() < 0.8
    ]


def fuzzed_bars(minutes: int, seed: int) -> list[list[str]]:
    """The same with late, repeated and wrong ones, and symbols that nobody knows."""
    pick = random.Random(seed)
    rows = []
    for row in good_bars(minutes, seed):
        rows.append(row)
        chance = pick.random()
        if chance < 0.03:
            rows.append([row[0], str(int(row[1]) - pick.randint(0, 9) * BASE_MS), *row[2:]])
        elif chance < 0.06:
            wrong = list(row)
            wrong[pick.randrange(7)] = pick.choice(["", "x", "-1", "nan", "1e400"])
            rows.append(wrong)
    return rows


def write_bars(path: Path, rows: list[list[str]]) -> str:
    text = "\n".join(",".join(row) for row in [list(COLUMNS), *rows])
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


def tables(client: Client) -> dict[str, set[tuple[Any, ...]]]:
    """What was fed."""
    return {
        table.name: {tuple(row[name] for name in table.names) for row in reading.log(client, table)}
        for table in FED
    }


def fed(store: Running, database: str, config: Config) -> Replayed:
    with open_client(store.store.place(database), retry_s=None) as client:
        return replay(client, config, Pace(), threading.Event(), lambda progress: None)


def read(store: Running, database: str) -> dict[str, set[tuple[Any, ...]]]:
    with open_client(store.store.place(database)) as client:
        return tables(client)


def test_fuzzed_bars_count_as_in_a_backtest(store: Running, tmp_path: Path) -> None:
    files = write_bars(tmp_path / "bars.csv", fuzzed_bars(900, 1))
    config = config_of(files, start="2023-11-14T22:20:00Z")
    done = fed(store, "fuzzed", config)
    plan = plan_run(config)
    tasks, _ = plan_tasks(list_files([files]), SYMBOLS)
    kept, rejects, late, duplicates = [], [], 0, 0
    for task in tasks:
        if task.symbol:
            intake = Intake(plan, task)
            for bars in intake.read(lambda rows: None):
                rows = zip(*(column.tolist() for column in bars), strict=True)
                kept += [(task.symbol, *row) for row in rows]
            rejects += intake.rejects
            late, duplicates = late + intake.counts.late, duplicates + intake.counts.duplicates
    assert done.counts[1:5] == (
        done.counts.out_of_range,
        done.counts.unknown_symbol,
        late,
        duplicates,
    )
    assert min(late, duplicates, done.counts.out_of_range, done.counts.unknown_symbol) > 0
    assert done.rejects == Counter(BAR_CODES[reject.code].value for reject in rejects)
    found = read(store, "fuzzed")
    on_time = {row[:7] for row in found["price_1m_history"] if not row[-1]}
    assert on_time == set(kept) and len(kept) == done.bars
    assert 0 < len(found["price_1m_history"]) - len(kept) <= late
    assert {row[:7] for row in found["price_rejects"]} == {reject.values for reject in rejects}
    counts = Counter(row[1] + BASE_MS for row in on_time)
    ticks = range(min(counts), max(counts) + BASE_MS, BASE_MS)
    assert found["progress"] == {("feed", "main", tick, counts[tick]) for tick in ticks}
    again = fed(store, "fuzzed", config)
    assert (again.bars, again.ticks, again.counts) == (0, 0, done.counts)
    assert read(store, "fuzzed") == found


def test_killed_at_any_moment_it_feeds_the_same(store: Running, tmp_path: Path) -> None:
    files = write_bars(tmp_path / "bars.csv", fuzzed_bars(3000, 2))
    config = config_of(files)
    whole = fed(store, "whole", config)
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config_as_dict(config)), encoding="utf-8")
    at = store.store.place("killed")
    command = [sys.executable, "-m", "cli.main", "replay", "--config", str(path)]
    command += ["--store", at.address, "--database", "killed", "--speed"]
    pick = random.Random(5)
    told = 0
    with open_client(at) as client:
        make_tables(client)
        for _ in range(3):
            until = told + pick.randint(1, 400)
            process = subprocess.Popen([*command, "30000x"], cwd=ROOT, stdout=subprocess.DEVNULL)
            while told < until and process.poll() is None:
                told = len(reading.log(client, PROGRESS))
            process.kill()
            process.wait()
            told = len(reading.log(client, PROGRESS))
    assert 0 < told < whole.ticks
    done = subprocess.run(
        [*command, "max"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert "in the store before" in done.stdout
    assert read(store, "killed") == read(store, "whole")


def test_a_store_that_is_away_is_waited_for(store: Running, tmp_path: Path) -> None:
    files = write_bars(tmp_path / "bars.csv", good_bars(4000, 3))
    config = config_of(files)
    whole = fed(store, "never_away", config)
    results: list[Replayed] = []
    begun = threading.Event()

    def feed() -> None:
        with open_client(store.store.place("away"), retry_s=None) as client:
            pace = Pace(speed=60_000.0)
            shown = lambda progress: begun.set() if progress.tick else None  # noqa: E731
            results.append(replay(client, config, pace, threading.Event(), shown))

    feeding = threading.Thread(target=feed)
    feeding.start()
    assert begun.wait(120)
    kill_and_revive(store.store.place("away").kind, store)
    feeding.join(180)
    assert results and results[0].ticks == whole.ticks
    assert read(store, "away") == read(store, "never_away")


def test_lines_feed_the_same_as_a_file(store: Running, tmp_path: Path) -> None:
    rows = good_bars(400, 4)
    files = write_bars(tmp_path / "bars.csv", rows)
    config = config_of(files)
    fed(store, "of_file", config)
    garbage = tmp_path / "garbage.csv"
    lines = Path(files).read_bytes().split(b"\n")
    for number in range(2, len(lines), 50):
        lines[number] += (
            b'\nAAAUSD,1\n\xff\n"\nZZZUSD,1,1,1,1,1,1\nAAAUSD,253370000040000,1,1,1,1,1'
        )
    garbage.write_bytes(b"\n".join(lines))
    for turn in range(2):
        with open_client(store.store.place("of_lines")) as client:
            done = ingest_bars(
                client,
                config,
                Chunks(garbage),
                DAY_MS,
                threading.Event(),
                lambda: time.time_ns() // 1_000_000,
                lambda done: None,
            )
        assert (done.written, done.repeated) == ((len(rows), 0), (0, len(rows)))[turn]
        assert done.rejects["BAD_LINE"] == 3 * done.rejects["BAD_TS"] > 0
        assert done.skipped == {"of unknown symbols": done.rejects["BAD_TS"]}
    of_lines, of_file = read(store, "of_lines"), read(store, "of_file")
    assert of_lines["price_1m_history"] == of_file["price_1m_history"]
    assert of_lines["progress"] == of_file["progress"]


def test_a_feed_by_the_clock(store: Running) -> None:
    """Bars of now: complete minutes at once, others after finalAfterMs, empty ones too."""
    plan = plan_run(config_of("none"))
    with open_client(store.store.place("clock")) as client:
        make_tables(client)

        def take(intake: BarIntake, now_ms: int, *bars: tuple[str, int]) -> list[tuple[int, int]]:
            columns = Columns("bars", COLUMNS, COLUMNS)
            columns.line(",".join(COLUMNS).encode())
            raw = [f"{name},{START + n * BASE_MS},1,1,1,1,1".encode() for name, n in bars]
            lines = [line for one in raw if (line := columns.line(one)) is not None]
            intake.take(lines, START + now_ms)
            rows = reading.log(client, PROGRESS)
            return [((row["ts"] - START) // BASE_MS, row["rows"]) for row in rows]

        intake = BarIntake(client, plan, 5_000, DAY_MS)
        assert take(intake, 60_100, ("AAAUSD", 0), ("BBBUSD", 0)) == []
        told = [(1, 3)]
        assert take(intake, 60_200, ("CCCUSD", 0)) == told  # all symbols are there
        assert take(intake, 120_100, ("AAAUSD", 1)) == told
        assert take(intake, 124_900) == told
        told.append((2, 1))
        assert take(intake, 125_000) == told  # the clock
        assert take(intake, 126_000, ("BBBUSD", 1), ("AAAUSD", 1)) == told
        assert (intake.done.late, intake.done.repeated) == (1, 1)
        assert take(intake, 180_100, ("AAAUSD", 2)) == told
        # Killed and started again: the open minute is counted from the store.
        intake = BarIntake(client, plan, 5_000, DAY_MS)
        told.append((3, 2))
        assert take(intake, 185_100, ("CCCUSD", 2), ("AAAUSD", 2)) == told
        told += [(4, 0), (5, 0)]
        assert take(intake, 305_100) == told  # nothing came, and minutes passed
        assert take(intake, 305_200, ("AAAUSD", 9)) == told
        assert intake.done.rejects == {"BAD_TS": 1}  # ahead of the clock


def test_it_is_said_which_stage_hangs(store: Running) -> None:
    plan = plan_run(config_of("none"))
    with open_client(store.store.place("waiting")) as client:
        make_tables(client)
        names = instances(plan)
        ticks = [(*name, START + BASE_MS, 0) for name in names]
        client.write(Writing(PROGRESS, ticks))
        watch = Watch(client, plan)
        watch.wait(START + BASE_MS, 1.0, threading.Event())
        client.write(Writing(PROGRESS, [(*name, START + 2 * BASE_MS, 0) for name in names[:-1]]))
        with pytest.raises(Refusal) as told:
            watch.wait(START + 2 * BASE_MS, 1.0, threading.Event())
        assert str(told.value).splitlines()[1:] == [
            "  engine/main stands at 2023-11-14 22:15, 1 ticks behind"
        ]
        client.write(Writing(PROGRESS, [("engine", "main", START + 2 * BASE_MS, 0)]))
        watch.wait(START + 2 * BASE_MS, 5.0, threading.Event())


def test_parquet_is_read_too(store: Running, tmp_path: Path) -> None:
    ts = [START, START + 5 * BASE_MS]
    columns = {name: [1.0, 1.0] for name in COLUMNS[2:]}
    pq.write_table(
        pa.table({"symbol": ["AAAUSD"] * 2, "ts": ts, **columns}), tmp_path / "a.parquet"
    )
    done = fed(store, "parquet", config_of(str(tmp_path / "*.parquet")))
    assert (done.bars, done.ticks) == (2, 6)
