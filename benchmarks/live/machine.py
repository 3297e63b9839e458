"""What the processes of a stack take while they run: processors, memory, disk."""

import os
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from jobs.stack.processes import servers_of, supervisor_of

EVERY_S = 5.0
TICKS_S = os.sysconf("SC_CLK_TCK")
KIB, MIB = 1 << 10, 1 << 20


class Sample(NamedTuple):
    """One look: seconds of a processor and PSS in bytes by process, bytes on disk by part."""

    at_s: float
    busy_s: dict[str, float]
    pss: dict[str, int]
    disk: dict[str, int]


class Watch:
    """Looks at the stack in a folder every EVERY_S within a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.samples: list[Sample] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self.samples.append(sample(self._folder))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self.samples.append(sample(self._folder))

    def _run(self) -> None:
        while not self._done.wait(EVERY_S):
            self.samples.append(sample(self._folder))

    def show(self) -> None:
        """Tables of processes, and of what grew on disk."""
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at_s - first.at_s
        print(f"{'process':24}{'% of a core':>12}{'PSS MB, mean':>14}{'most':>8}")
        for name in sorted(last.busy_s):
            share = (last.busy_s[name] - first.busy_s.get(name, 0.0)) / seconds
            sizes = [one.pss.get(name, 0) / MIB for one in self.samples]
            print(f"{name:24}{100 * share:12.0f}{np.mean(sizes):14.0f}{max(sizes):8.0f}")
        busy = sum(last.busy_s.values()) - sum(first.busy_s.values())
        print(f"{'all':24}{100 * busy / seconds:12.0f}{'':14}{self.most_pss() / MIB:8.0f}")
        print(f"{'on disk':44}{'MB at the end':>14}{'MB a minute':>13}")
        for part in sorted(last.disk, key=lambda part: -last.disk[part]):
            grown = (last.disk[part] - first.disk.get(part, 0)) / seconds * 60
            if last.disk[part] >= MIB:
                print(f"{part:44}{last.disk[part] / MIB:14.1f}{grown / MIB:13.2f}")

    def busiest(self) -> tuple[str, float]:
        """The process that took most of a processor, and how much of one."""
        first, last = self.samples[0], self.samples[-1]
        taken = {name: last.busy_s[name] - first.busy_s.get(name, 0.0) for name in last.busy_s}
        name = max(taken, key=lambda one: taken[one])
        return name, taken[name] / (last.at_s - first.at_s)

    def seconds(self) -> float:
        """How long it looked."""
        return self.samples[-1].at_s - self.samples[0].at_s

    def share(self) -> float:
        """What the stack took of all processors."""
        first, last = self.samples[0], self.samples[-1]
        busy_s = sum(last.busy_s.values()) - sum(first.busy_s.values())
        return busy_s / self.seconds() / (os.cpu_count() or 1)

    def most_pss(self) -> int:
        """The largest sum of all processes' PSS, bytes."""
        return max(sum(one.pss.values()) for one in self.samples)


def sample(folder: Path) -> Sample:
    """One look at the stack in a folder."""
    busy: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, pid in processes(folder).items():
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        busy[name] = (int(words[11]) + int(words[12])) / TICKS_S
        sizes[name] = next(int(one.split()[1]) for one in lines if one.startswith("Pss:")) * KIB
    return Sample(time.monotonic(), busy, sizes, disk(folder))


def processes(folder: Path) -> dict[str, int]:
    """Process ids by name; those of one kind are numbered."""
    found = Counter[str]()
    named = {}
    for one in servers_of(folder):
        named[f"{one.kind}-{found[one.kind]}"] = one.pid
        found[one.kind] += 1
    supervisor = supervisor_of(folder)
    return named | ({} if supervisor is None else {"supervisor": supervisor})


def disk(folder: Path) -> dict[str, int]:
    """Bytes by part: of each table its log and its keys, and what else is there."""
    sizes: Counter[str] = Counter()
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            sizes[part_of(path.relative_to(folder))] += status.st_blocks * 512
    return dict(sizes)


def part_of(path: Path) -> str:
    """What a file belongs to: `TABLE log` or `TABLE kv` in the store, or a folder of the stack.

    A table's folder is `NAME-NUMBER`, and in it lie `log-0` and `kv-0`.
    """
    for at, word in enumerate(path.parts):
        if word.startswith(("log-", "kv-")) and at:
            kind = "remote " if "remote" in path.parts else ""
            return f"{path.parts[at - 1].rpartition('-')[0]} {kind}{word.partition('-')[0]}"
    return "/".join(path.parts[:2])
