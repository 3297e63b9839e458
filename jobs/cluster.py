"""A Flink session cluster on this machine, to which `flink run` submits jobs.

`python -m jobs.cluster` writes its configuration and prints the commands that use it.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from jobs import jvm
from jobs.code import write_archive
from udfs.errors import ConfigError

SESSION = jvm.PRIVATE / "session"
REST_PORT = 8081
RPC_PORT = 6123
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class Cluster(NamedTuple):
    """Where a session cluster has its configuration, logs and temporary files, and its port."""

    folder: Path
    rest_port: int

    def variables(self) -> dict[str, str]:
        """The environment variables with which Flink's own scripts use this cluster."""
        return {
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LIB_DIR": str(jvm.library_folder()),
            "JAVA_HOME": str(jvm.find_java().parents[1]),
            **jvm.ALLOCATION,
        }

    def run(
        self,
        script: Path,
        arguments: Sequence[str] = (),
        parallelism: int = 1,
        archive: Path | None = None,
    ) -> list[str]:
        """The `flink run` command of a Python job; `archive` is a zip of the code it imports."""
        files = [] if archive is None else ["-pyfs", str(archive)]
        flink = str(jvm.flink_home() / "bin" / "flink")
        return [flink, "run", "-p", str(parallelism), *files, "-py", str(script), *arguments]


def configure(
    folder: Path,
    rest_port: int = REST_PORT,
    rpc_port: int = RPC_PORT,
    slots: int = 4,
    paths: Sequence[Path] = (jvm.REPO,),
) -> Cluster:
    """Write the configuration of a session cluster into `folder`.

    `paths` come before everything else in the path of the cluster's Python. With this folder in
    it jobs need no archive of the code, and find the compiled kernels that lie beside the code.
    """
    conf = folder / "conf"
    for name in ("conf", "log", "pid", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for file in (jvm.flink_home() / "conf").iterdir():
        if file.name.startswith("log4j"):
            shutil.copy(file, conf)
    machine = {
        "jobmanager.rpc.port": rpc_port,
        "taskmanager.numberOfTaskSlots": slots,
        "env.java.opts.all": " ".join([*jvm.java_options(), f"-Djava.io.tmpdir={folder}/tmp"]),
        "env.log.dir": folder / "log",
        "env.pid.dir": folder / "pid",
        **machine_settings(folder, rest_port, paths),
    }
    write_settings(conf, jvm.CONF / "session" / "config.yaml", machine)
    for name in ("masters", "workers"):
        (conf / name).write_text("localhost\n", encoding="utf-8")
    return Cluster(folder, rest_port)


def machine_settings(folder: Path, rest_port: int, paths: Sequence[Path]) -> dict[str, object]:
    """What every cluster must be told of this machine; `paths` come first in Python's path."""
    python_path = [*paths, jvm.CONF / "python", Path(sysconfig.get_path("purelib"))]
    return {
        "rest.port": rest_port,
        "io.tmp.dirs": folder / "tmp",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.pythonpath": os.pathsep.join(map(str, python_path)),
    }


def write_settings(conf: Path, fixed: Path, machine: Mapping[str, object]) -> None:
    """Write config.yaml into the folder `conf`: the file `fixed`, then what the machine decides."""
    # JSON is YAML: quotes keep colons and spaces in paths.
    added = [f"{name}: {json.dumps(str(value))}" for name, value in machine.items()]
    text = "\n".join([fixed.read_text(encoding="utf-8"), *added, ""])
    (conf / "config.yaml").write_text(text, encoding="utf-8")


@contextmanager
def local_cluster(
    folder: Path, task_managers: int = 1, slots: int = 4, paths: Sequence[Path] = (jvm.REPO,)
) -> Iterator[Cluster]:
    """A running session cluster on free loopback ports; all its processes end with the block."""
    cluster = configure(folder, free_port(), free_port(), slots, paths)
    variables = {**os.environ, **cluster.variables()}
    with ExitStack() as stack:
        for script in ["jobmanager.sh"] + ["taskmanager.sh"] * task_managers:
            stack.enter_context(_service(script, folder / "log", variables))
        _wait_for_slots(cluster, task_managers * slots)
        yield cluster


@contextmanager
def _service(script: str, log: Path, variables: Mapping[str, str]) -> Iterator[None]:
    command = [str(jvm.flink_home() / "bin" / script), "start-foreground"]
    with (log / "services.out").open("ab") as output:
        # The script replaces itself by Java, so this is also the Java process. Its own group:
        # Ctrl-C ends the client first.
        process = subprocess.Popen(
            command, env=variables, stdout=output, stderr=output, process_group=0
        )
    try:
        yield
    finally:
        end(process, STOP_TIMEOUT_S)


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End a process: by itself within this time, else killed."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_slots(cluster: Cluster, slots: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            address = f"http://localhost:{cluster.rest_port}/overview"
            with urllib.request.urlopen(address, timeout=5) as answer:
                if json.load(answer)["slots-total"] >= slots:
                    return
        except OSError:
            pass  # not listening yet
        time.sleep(0.1)
    raise ConfigError(f"the cluster is not up after {START_TIMEOUT_S} s: see {cluster.folder}/log")


def free_port() -> int:
    """A loopback port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def exports(variables: Mapping[str, str]) -> list[str]:
    """What a shell must be told before Flink's own commands."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def main() -> None:
    """Write the configuration and an archive of the code; print how to use them."""
    cluster = configure(SESSION)
    archive = write_archive(SESSION / "code.zip")
    scripts = jvm.flink_home() / "bin"
    print(*exports(cluster.variables()), sep="\n")
    print(f"{scripts}/start-cluster.sh")
    print(shlex.join([*cluster.run(jvm.REPO / "jobs" / "backtest.py", archive=archive)]), "...")
    print(f"{scripts}/stop-cluster.sh")


if __name__ == "__main__":
    main()
