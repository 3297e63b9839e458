"""What Flink's JobManager answers over its REST interface, each question with a time limit."""

import http.client
import json
import time
import urllib.request
from collections.abc import Sequence
from typing import Any, NamedTuple

PATIENCE_S = 2.0
METRICS_PAUSE_S = 0.4
POLL_S = 0.3
ENDING = ("CANCELLING", "FAILING")
GONE = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")
MILLISECONDS = 1000.0


class FlinkAwayError(Exception):
    """The JobManager did not answer, or not what was asked; the message is for people."""


class Job(NamedTuple):
    """A job that Flink knows. `is_working`: all its tasks run."""

    job_id: str
    name: str
    state: str
    is_working: bool


class Health(NamedTuple):
    """How a job fares. `checkpoint_ts`: epoch ms of its newest checkpoint, None without one."""

    restarts: int | None
    checkpoint_ts: int | None
    checkpoint_bytes: int | None
    checkpoints_failed: int
    problem: str


class Savepoint(NamedTuple):
    """How far a savepoint is: its place once it is done, a problem where it failed."""

    is_done: bool
    location: str
    problem: str


def jobs_of(
    addresses: Sequence[str], prefix: str, patience_s: float = PATIENCE_S
) -> tuple[list[tuple["Flink", Job]], list[str]]:
    """The jobs of several JobManagers, each with its own; and what those that are away said."""
    found, problems = [], []
    for address in addresses:
        flink = Flink(address, prefix, patience_s)
        try:
            found += [(flink, job) for job in flink.jobs()]
        except FlinkAwayError as error:
            problems.append(str(error))
    return found, problems


def leads(address: str) -> bool:
    """Whether a JobManager answers, and none of its kind is still to be elected."""
    try:
        with urllib.request.urlopen(f"{address}/overview", timeout=PATIENCE_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code != http.HTTPStatus.SERVICE_UNAVAILABLE
    except (OSError, http.client.HTTPException):
        return False


class Flink(NamedTuple):
    """A JobManager by its address. Names of its jobs begin with `prefix`, which is left out."""

    address: str
    prefix: str
    patience_s: float = PATIENCE_S

    def jobs(self) -> list[Job]:
        """Jobs that have not ended, by name."""
        found = []
        for job in self._ask("/jobs/overview")["jobs"]:
            if job["state"] not in GONE:
                is_working = (
                    job["state"] == "RUNNING"
                    and job["tasks"]["running"] + job["tasks"]["finished"]
                    == (job["tasks"]["total"])
                )
                name = job["name"].removeprefix(self.prefix)
                found.append(Job(job["jid"], name, job["state"], is_working))
        return sorted(found, key=lambda job: (job.name, job.job_id))

    def jobs_that_stay(self, wait_s: float) -> list[Job]:
        """The same, once those that are about to end have ended, or so much time is over."""
        deadline = time.monotonic() + wait_s
        found = self.jobs()
        while any(job.state in ENDING for job in found) and time.monotonic() < deadline:
            time.sleep(POLL_S)
            found = self.jobs()
        return found

    def slots(self) -> int:
        """Slots of all TaskManagers that have reported."""
        return int(self._ask("/overview")["slots-total"])

    def health(self, job_id: str) -> Health:
        """How a job fares."""
        restarts = self._restarts(job_id)
        points = self._ask(f"/jobs/{job_id}/checkpoints")
        latest = points["latest"]["completed"] or points["latest"]["restored"] or {}
        taken = latest.get("latest_ack_timestamp", latest.get("restore_timestamp"))
        errors = self._ask(f"/jobs/{job_id}/exceptions?maxExceptions=1")
        entries = errors.get("exceptionHistory", {}).get("entries", [])
        problem = entries[0].get("stacktrace", "") if entries else ""
        return Health(
            restarts=restarts,
            checkpoint_ts=taken,
            checkpoint_bytes=latest.get("state_size"),
            checkpoints_failed=points["counts"]["failed"],
            problem=reason(problem),
        )

    def _restarts(self, job_id: str) -> int | None:
        """How often a job was restarted since the JobManager was started; None: not known yet."""
        for pause_s in (0.0, METRICS_PAUSE_S):
            # The first question makes Flink gather what the next one gets.
            time.sleep(pause_s)
            metrics = self._ask(f"/jobs/{job_id}/metrics?get=numRestarts")
            found = [int(float(one["value"])) for one in metrics if one["id"] == "numRestarts"]
            if found:
                return found[0]
        return None

    def stop(self, job_id: str, folder: str) -> str:
        """Begin to end a job with a savepoint in `folder`; the number to ask for it by."""
        wanted = {"targetDirectory": folder, "drain": False}
        return str(self._ask(f"/jobs/{job_id}/stop", wanted)["request-id"])

    def savepoint(self, job_id: str, request: str) -> Savepoint:
        """How far the savepoint is."""
        answer = self._ask(f"/jobs/{job_id}/savepoints/{request}")
        if answer["status"]["id"] != "COMPLETED":
            return Savepoint(False, "", "")
        failure = answer["operation"].get("failure-cause", {}).get("stack-trace", "")
        return Savepoint(True, answer["operation"].get("location") or "", reason(failure))

    def cancel(self, job_id: str) -> None:
        """End a job; its checkpoints stay."""
        self._ask(f"/jobs/{job_id}?mode=cancel", method="PATCH")

    def _ask(self, path: str, sent: object = None, method: str | None = None) -> Any:
        data = None if sent is None else json.dumps(sent).encode()
        request = urllib.request.Request(
            f"{self.address}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self.patience_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise FlinkAwayError(f"Flink refused {path}: {reason(_message(text))}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FlinkAwayError(f"Flink at {self.address} does not answer: {error}") from None


def _message(text: str) -> str:
    """What the errors of an answer say; the answer itself where it is no such."""
    try:
        return "\n".join(json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        return text


def reason(trace: str) -> str:
    """The line of a Java stack trace that says most: its last cause."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    line = (causes or lines[:1] or [""])[-1]
    return line.removeprefix("Caused by: ")[:300]
