"""A folder of bars: what a write leaves, however it ends, and whoever writes beside it."""

import os
import random
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds.store import Written, last_ts, month_files, open_store, safe_name, write_bars
from jobs.sources import list_files, plan_tasks
from udfs.bars import Bars
from udfs.errors import ConfigError

START = 1_706_659_200_000  # 2024-01-31 00:00 UTC
MINUTE = 60_000


def bars(rows: list[int], shift: float = 0.0) -> Bars:
    ts = START + MINUTE * np.array(rows, dtype=np.int64)
    price = np.array(rows, dtype=np.float64) + 1 + shift
    return Bars(ts, price, price, price, price, price)


def stored(out: Path, symbol: str) -> list[tuple[int, float]]:
    tables = [pq.read_table(path) for path in month_files(out, symbol)]
    return [((row["ts"] - START) // MINUTE, row["close"]) for t in tables for row in t.to_pylist()]


@pytest.mark.parametrize("seed", range(5))
def test_the_first_value_of_a_time_stays(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    expected: dict[int, float] = {}
    for _ in range(6):
        rows = [rng.randrange(2000) for _ in range(rng.randrange(60))]
        shift = rng.choice((0.0, 0.0, 0.5))
        new = same = conflicting = 0
        for row in rows:
            new += row not in expected
            first = expected.setdefault(row, row + 1 + shift)
            same += first == row + 1 + shift
            conflicting += first != row + 1 + shift
        written = write_bars(tmp_path / "out", "A", bars(rows, shift))
        assert written[:3] == (new, same - new, conflicting)
        assert bool(written.files) == bool(new)
        assert stored(tmp_path / "out", "A") == sorted(expected.items())
        newest = START + MINUTE * max(expected) if expected else None
        assert last_ts(tmp_path / "out", "A") == newest


@pytest.mark.parametrize("symbol", ["BTC/USD", ".hidden", "[a]*?", "Ä€", "A-2024-01", "%41", " x"])
def test_symbols_of_any_letters_have_files_of_their_own(symbol: str, tmp_path: Path) -> None:
    for name in (symbol, "A"):
        write_bars(tmp_path, name, bars([1, 1441]))
    files = list_files([str(tmp_path / "*.parquet")])
    tasks, _ = plan_tasks(files, [symbol, "A"])
    assert {task.symbol: len(task.places) for task in tasks} == {symbol: 2, "A": 2}
    assert (last_ts(tmp_path, symbol), last_ts(tmp_path, "-")) == (START + 1441 * MINUTE, None)


@pytest.mark.parametrize("symbol", ["", "\ud800", "x" * 300])
def test_a_symbol_that_can_be_no_file(symbol: str) -> None:
    with pytest.raises(ConfigError, match="symbol"):
        safe_name(symbol)


def test_whatever_ends_a_write_leaves_all_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(KeyboardInterrupt), open_store(out) as store:
        store.add("A", bars([1]))
        raise KeyboardInterrupt
    assert not (tmp_path / "new").exists()
    write_bars(out, "A", bars([1]))
    killed = out / f".bars.{os.getpid() + 1}.partial"  # what kill -9 leaves
    killed.mkdir()
    (killed / "0.parquet").touch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"A-2024-01\.parquet: cannot be written: File too"):
            write_bars(out, "A", bars(list(range(1000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(out) == ["A-2024-01.parquet"] and stored(out, "A") == [(1, 2.0)]


def test_two_writes_at_once_lose_nothing(tmp_path: Path) -> None:
    parts = [list(range(start, 400, 8)) for start in range(8)]
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda rows: write_bars(tmp_path, "A", bars(rows)), parts))
    assert sum(one.rows_new for one in written) == 400
    assert [row for row, _ in stored(tmp_path, "A")] == list(range(400))


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        write_bars(tmp_path / "file", "A", bars([1]))
    place = tmp_path / "A-2024-01.parquet"
    others = (
        pa.table({"a": [1]}),
        pa.table({"symbol": ["B"], **bars([1])._asdict()}),
    )
    for table in others:
        pq.write_table(table, place)
        with pytest.raises(ConfigError, match=r"A-2024-01\.parquet: is in the way"):
            write_bars(tmp_path, "A", bars([1]))
    place.write_text("text")
    with pytest.raises(ConfigError, match="is in the way: it cannot be read"):
        last_ts(tmp_path, "A")
    place.unlink()
    assert write_bars(tmp_path, "A", bars([1])) == Written(1, 0, 0, (place,))
    with pytest.raises(ConfigError, match="has bars of 1m, the new ones are of 1h"):
        write_bars(tmp_path, "B", bars([60]), 3_600_000)
