"""A job of blobs for the tests: a module that workers import, and a script for `flink run`."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jobs.adapter import Stages, define
from udfs.bars import Floats
from udfs.compiled import njit
from udfs.errors import ConfigError

KEYS = ("a", "b", "c")
TASKS = tuple(f"task {number}".encode() for number in range(5))
Blobs = Iterator[tuple[str, bytes]]


@njit
def total(values: Floats) -> float:
    """A kernel that takes an array: compiled code lets go of it when it returns."""
    result = 0.0
    for index in range(values.shape[0]):
        result += values[index]
    return result


def dense(task: bytes) -> Blobs:
    """Two blobs for every key."""
    for key in KEYS:
        yield key, task + f": {total(np.ones(3)):g}".encode()
        yield key, b"-"


def fold(key: str, blobs: list[bytes]) -> Blobs:
    """All blobs of the key, in the order in which they come."""
    yield key, f"{key}{total(np.ones(len(blobs))):g} ".encode() + b",".join(blobs)


def write(key: str, blobs: list[bytes]) -> Blobs:
    """All keys' blobs."""
    yield key, f"{key}{total(np.ones(len(blobs))):g}\n".encode() + b"\n".join(blobs)


def large_dense(task: bytes) -> Blobs:
    """One blob of 30 MB."""
    yield "a", task * 5_000_000


def sizes(key: str, blobs: list[bytes]) -> Blobs:
    """What was received, by size."""
    yield key, str([len(blob) for blob in blobs]).encode()


def join(key: str, blobs: list[bytes]) -> Blobs:
    """The blobs as one."""
    yield key, b" ".join(blobs)


def refused(task: bytes) -> Blobs:
    """An error of the project."""
    raise ConfigError(f"no file matches 'x€' for {task!r}\n  on a second line")
    yield


def broken(key: str, blobs: list[bytes]) -> Blobs:
    """Any other error."""
    raise ZeroDivisionError("nothing to divide by")
    yield


def killed(task: bytes) -> Blobs:
    """Takes the whole Java process with it."""
    os._exit(3)
    yield


def slow(task: bytes) -> Blobs:
    """Says that it runs, and then does so for a long time without letting go of the lock."""
    Path(task.decode()).touch()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sum(range(100_000))
    yield "a", b""


def main() -> None:
    """`blob_job.py [FILE]`: run the job and print its result; with FILE the slow one."""
    from jobs.runtime import collect, environment

    if len(sys.argv) > 1:
        tasks, stages = (sys.argv[1].encode(),), Stages(slow, join, join)
    else:
        tasks, stages = TASKS, Stages(dense, fold, write)
    try:
        (result,) = collect(define(environment(2), tasks, stages), "blobs")
    except ConfigError as error:
        sys.exit(f"refused: {error}")
    print(f"<{bytes(result).decode()}>")  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
