"""A run's folder: whole or not there, whoever else writes to the same place."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import run_folder
from jobs.run_folder import MANIFEST, RunFolder
from tests.runs import config, write_bars, write_config
from udfs.errors import ConfigError, Refusal

PROGRAM = "import sys; from cli.main import main; sys.exit(main())"


def filled(out: Path, overwrite: bool = False, text: str = "mine") -> RunFolder:
    folder = RunFolder(out, "x", overwrite)
    (folder.staging / "table").write_text(text)
    return folder


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_of_two_runs_of_one_name_the_first_to_finish_wins(tmp_path: Path) -> None:
    first, second = filled(tmp_path, text="first"), filled(tmp_path, text="second")
    assert first.finish({}) == tmp_path / "x"
    with pytest.raises(Refusal, match="exists already"), second:
        second.finish({})
    assert (tmp_path / "x" / "table").read_text() == "first"
    assert names(tmp_path) == ["x"]


def test_of_two_that_overwrite_the_last_to_finish_wins_whole(tmp_path: Path) -> None:
    first, second = filled(tmp_path, True, "first"), filled(tmp_path, True, "second")
    (first.staging / "only in the first").touch()
    first.finish({})
    second.finish({})
    assert names(tmp_path / "x") == [MANIFEST, "table"]
    assert (tmp_path / "x" / "table").read_text() == "second"
    assert names(tmp_path) == ["x"]


def test_another_one_may_move_the_run_away_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path).finish({})
    folder = filled(tmp_path, True, "new")
    check = folder._check_existing

    def lose() -> None:
        check()
        (tmp_path / "x").rename(tmp_path / "elsewhere")

    monkeypatch.setattr(folder, "_check_existing", lose)
    folder.finish({})
    assert (tmp_path / "x" / "table").read_text() == "new"
    assert names(tmp_path) == ["elsewhere", "x"]


def test_an_interrupt_while_a_run_is_replaced_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, text="old").finish({})
    folder = filled(tmp_path, True, "new")
    moves: list[int] = []

    def interrupted() -> bool:
        moves.append(1)
        if len(moves) > 1:  # the old run is out of the way by now
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(folder, "_move", interrupted)
    with pytest.raises(KeyboardInterrupt), folder:
        folder.finish({})
    assert (tmp_path / "x" / "table").read_text() == "old"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", ["file", "foreign", "nothing behind a link"])
def test_what_is_no_run_is_never_replaced(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "x"
    if kind == "file":
        place.write_text("mine")
    elif kind == "foreign":
        place.mkdir()
        (place / "thesis").write_text("mine")
    else:
        place.symlink_to("nowhere")
    for overwrite in (False, True):
        with pytest.raises(Refusal):
            RunFolder(tmp_path, "x", overwrite)
    assert names(tmp_path) == ["x"]


def test_a_link_to_a_run_is_replaced_and_the_run_behind_it_stays(tmp_path: Path) -> None:
    RunFolder(tmp_path, "y", False).finish({})
    (tmp_path / "x").symlink_to("y")
    filled(tmp_path, True).finish({})
    assert names(tmp_path) == ["x", "y"]
    assert not (tmp_path / "x").is_symlink() and (tmp_path / "y" / MANIFEST).exists()


def test_folders_made_for_a_run_that_failed_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError), RunFolder(tmp_path / "a" / "b", "x", False):
        raise ValueError
    assert names(tmp_path) == []
    keep = RunFolder(tmp_path / "a", "y", False)
    with pytest.raises(ValueError), RunFolder(tmp_path / "a", "x", False):
        raise ValueError
    assert names(tmp_path / "a") == [keep.staging.name]


def test_what_killed_runs_left_goes_with_the_next_of_that_name(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = RunFolder(tmp_path, "x", False).staging.name
    left = mine.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    kept = [
        left.replace(".x.", ".xx."),  # of another name
        left.replace(mine.split(".")[2].split("-")[0], "00000000"),  # of another machine
        left.replace(".partial", ".replaced"),  # a run that lost its successor
        mine,  # of a process that lives
    ]
    for name in (left, *kept):
        (tmp_path / name).mkdir(exist_ok=True)
    RunFolder(tmp_path, "x", False).finish({})
    assert names(tmp_path) == sorted([*kept, "x"])
    RunFolder(tmp_path, "x", True).finish({})
    assert left.replace(".partial", ".replaced") not in names(tmp_path)


@pytest.mark.parametrize("place", ["taken", "taken/below", "/proc/none", "/dev/full/x"])
def test_a_place_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match=f"--out: cannot write to .*{place}"):
        RunFolder(tmp_path / place, "x", False)
    assert names(tmp_path) == ["taken"]


def test_paths_that_are_no_text_fit_a_manifest(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "x", False).finish({"path": "\udcff"})
    assert (folder / MANIFEST).read_text() == '{\n "path": "\\udcff"\n}\n'


def test_the_owner_of_a_process_number_need_not_be_this_user() -> None:
    assert run_folder._is_alive(1) and run_folder._is_alive(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    tree = write_config(config(write_bars(tmp_path / "bars")), tmp_path / "run.yaml")
    arguments = ["backtest", "--config", str(tree), "--runner", "local", "--trace"]
    for _ in range(5):  # on a busy machine the run may have ended before the signal comes
        started = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments, "--overwrite"],
            cwd=tmp_path,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # whatever nohup ignored
        )
        while not list(tmp_path.glob("runs/.*")) and started.poll() is None:
            time.sleep(0.005)
        started.send_signal(number)
        code = started.wait(30)
        if code:
            break
        shutil.rmtree(tmp_path / "runs")
    assert code == 128 + number
    assert not (tmp_path / "runs").exists()
