"""A small bounded job whose JVM archives the classes it loaded: `python -m jobs.training FILE`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from jobs import adapter, jvm, runtime


def dense(task: bytes) -> Iterator[tuple[str, bytes]]:
    """Two blobs for two keys."""
    yield "a", task
    yield "b", task


def fold(key: str, blobs: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """All blobs of a key as one."""
    yield key, b"".join(blobs)


def write(key: str, blobs: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """How many bytes arrived."""
    yield key, str(sum(map(len, blobs))).encode()


def main() -> None:
    """Run the job, then let the JVM end by itself."""
    started = jvm.start(archive_at_exit=Path(sys.argv[1]))
    runtime.use(started)
    env = runtime.local_environment(2)
    stream = adapter.define(env, [b"12", b"3"], adapter.Stages(dense, fold, write))
    result = runtime.collect(stream, "training")
    if result != [b"6"]:
        raise SystemExit(f"the job gave {result!r} instead of b'6'")
    jvm.stop(started, gently=True)


if __name__ == "__main__":
    main()
