"""Jobs into a running stack: where each goes on from, and Flink's client that submits them."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jobs.jvm import REPO
from jobs.stack import flink
from jobs.stack.names import JobName
from jobs.stack.state import CONFIG, JobRecord, Stack, write_file
from udfs.errors import ConfigError

SCRIPT = REPO / "jobs" / "live" / "submit.py"
CLIENT_TIMEOUT_S = 240.0
LINES_SHOWN = 3
# How Flink wraps what the script raised.
WRAPPED = "org.apache.flink.client.program.ProgramAbortException"


class Start(NamedTuple):
    """A job to submit, and the savepoint or checkpoint to go on from; empty: from nothing."""

    name: JobName
    point: str


class Answer(NamedTuple):
    """What became of a job: its id, or why there is none."""

    job_id: str
    problem: str


def point_of(folder: Path, record: JobRecord) -> str:
    """Where a job goes on: its newest checkpoint, else where it began; empty: from nothing.

    ConfigError where that is gone: a job that begins anew would work all rows again.
    """
    checkpoints = folder / "flink" / "checkpoints" / record.job_id
    if record.job_id:
        newest = newest_checkpoint(checkpoints)
        if newest is not None:
            return str(newest)
    if record.point and not Path(record.point).is_dir():
        raise ConfigError(
            f"job {record.name}: {record.point}, where it should go on from, is gone: put it "
            f"back, or submit it without its past: `tradeflow submit {record.name} --fresh` (it "
            "reads its tables from the start and writes the same rows again, which changes nothing)"
        )
    if record.job_id and not record.point and not checkpoints.is_dir():
        raise ConfigError(
            f"job {record.name}: its folder of checkpoints {checkpoints} is gone: put it back, or "
            f"submit it without its past: `tradeflow submit {record.name} --fresh` (it reads its "
            "tables from the start and writes the same rows again, which changes nothing)"
        )
    return record.point


def newest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a job's folder."""
    whole = [file.parent for file in folder.glob("chk-*/_metadata")]
    numbers = [(int(one.name[4:]), one) for one in whole if one.name[4:].isdigit()]
    return max(numbers)[1] if numbers else None


def submit(stack: Stack, starts: Sequence[Start], script: Path = SCRIPT) -> dict[str, Answer]:
    """Submit jobs by one client; what became of each by its name."""
    folder = stack.folder / "flink"
    request, answer = folder / "request.json", folder / "answer.json"
    answer.unlink(missing_ok=True)
    jobs = [
        {
            "name": one.name.text,
            "job": one.name.job,
            "strategies": list(one.name.strategies),
            "point": f"file://{one.point}" if one.point else "",
        }
        for one in starts
    ]
    asked = {
        "config": str(stack.folder / CONFIG),
        "store_kind": stack.store_kind,
        "bootstrap": stack.bootstrap,
        "database": stack.database,
        "run_id": stack.run_id,
        "answer": str(answer),
        "jobs": jobs,
    }
    write_file(request, json.dumps(asked, indent=1))
    if script == SCRIPT and stack.outside is None:  # as copied: what the workers run
        script = stack.folder / "code" / SCRIPT.relative_to(REPO)
    told = run_client(stack, ["run", "-d", "-py", str(script), "--request", str(request)])
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {}
    silent = Answer("", told or "the client ended without a word")
    return {
        one.name.text: Answer(
            found[one.name.text].get("id", ""), found[one.name.text].get("problem", "")
        )
        if one.name.text in found
        else silent
        for one in starts
    }


def run_client(stack: Stack, arguments: Sequence[str]) -> str:
    """Run Flink's client; empty, or why it failed."""
    command = flink.client(stack.folder, arguments)
    output = command.log.with_suffix(".out")
    with output.open("wb") as sink:
        # A session of its own: Python runs below Java, and all of it ends with this call.
        process = subprocess.Popen(
            command.words,
            env=flink.variables(stack.folder),
            cwd=stack.work_folder,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        code = process.wait(CLIENT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"the client did not come to an end in {CLIENT_TIMEOUT_S:.0f} s; see {output}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0:
        return ""
    return f"{failure(output.read_text(encoding='utf-8', errors='replace'))}; see {output}"


def failure(text: str) -> str:
    """The lines of the client's output that say what went wrong: what Python raised, else Java."""
    before = text.partition(WRAPPED)[0]
    for where in (before, text):
        # A fault of Java that Python passed on, before the line of Python that says so.
        found = re.findall(r"^\s*: (\S*(?:Error|Exception).*)|^Caused by: (.*)", where, re.M)
        raised = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Refusal)\b.*", where, re.M)
        words = [java or cause for java, cause in found][-1:] or raised[-1:]
        if words:
            return str(words[0])[:1000]
    last = text.strip().splitlines()[-LINES_SHOWN:]
    return " ".join(last)[:1000] or "Flink's client failed"
