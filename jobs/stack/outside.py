"""`attach`: the tables and jobs of a run, in a store and on a Flink that others start and keep.

What `up` does for a stack on this machine, by address: containers, or machines of a cluster. The
folder says the same of it, so `status`, `table`, `replay`, `down` and the exporter work with it.
Where checkpoints lie in the folder (it is on a volume that Flink has, too), a job that is missing
goes on from its newest one, as with `up`.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from jobs import code, jvm
from jobs.cluster import machine_settings
from jobs.run import code_version
from jobs.stack import checks, control, flink, secrets, settings, tables
from jobs.stack.control import AS_USUAL, BUSY, Note, Up, Wish, silent
from jobs.stack.rest import Flink, FlinkAwayError
from jobs.stack.state import (
    CONFIG,
    Outside,
    Ports,
    Stack,
    database_of,
    held,
    process,
    read,
    write,
    write_file,
)
from jobs.store.place import address
from schemas.config import Config
from udfs.errors import ConfigError

CONF_VARIABLE = "FLINK_CONF_DIR"
PATIENCE_S = 120.0
POLL_S = 0.5


def attach(
    config: Config,
    folder: Path,
    outside: Outside,
    wish: Wish = AS_USUAL,
    note: Note = silent,
    patience_s: float = PATIENCE_S,
) -> Up:
    """Make the run's tables there, submit the jobs that are missing; all of it may be done again.

    ConfigError where the folder is another stack's, the configuration has changed in a way that
    makes it another run, or the store or Flink do not answer in time.
    """
    folder = folder.absolute()
    check(config, outside)
    checks.check_writable(folder)
    (folder / "flink" / "conf").mkdir(parents=True, exist_ok=True)
    with held(folder / "command.lock", BUSY.format(folder)):
        stack = _record(config, folder, outside)
        note(f"making the tables of database {stack.database} at {stack.bootstrap}")
        text = (folder / CONFIG).read_text(encoding="utf-8")
        run = (stack.run_id, stack.config_digest, text, code_version())
        tables.prepare(stack.store, run, config.store.retention_days)
        if wish.jobs is not None and not wish.jobs:
            return Up(stack, True, [], {}, [])
        _wait_for_slots(stack, note, patience_s)
        configure_client(stack)
        return control.bring_jobs(stack, wish, True, note)


def check(config: Config, outside: Outside) -> None:
    """ConfigError where the configuration is not for a store, or no address of it can be used."""
    if config.store.kind == "files":
        raise ConfigError(
            "store.kind is files: a run that goes on keeps its tables in a store; write "
            "store.kind: fluss, or add --set store.kind=fluss"
        )
    host, _, port = outside.store.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"--store: {outside.store!r} is no address; write one such as coordinator:9123"
        )
    for one in (*outside.flinks, *filter(None, [outside.exporter])):
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ConfigError(f"{one!r} is no address; write one such as http://jobmanager:8081")


def store_of(config: Config, given: str | None) -> str:
    """The address of the store: as given, else store.addresses; ConfigError without both."""
    if given is not None:
        return given
    if config.store.addresses is None:
        raise ConfigError("where is the store? Name it by --store HOST:PORT, or by store.addresses")
    return address(config.store.addresses, config.store.kind)


def _record(config: Config, folder: Path, outside: Outside) -> Stack:
    """Write what the folder says from now on; what is there must be of the same run."""
    tree = settings.resolved(config)
    text = settings.json_text(tree)
    mode = checks.execution_mode()
    before = read(folder)
    database = database_of(config.run.id, config.store.database)
    if before is not None:
        if before.outside is None:
            raise ConfigError(f"{folder} is that of a stack of `tradeflow up`; name another --dir")
        settings.refuse_changes(before, settings.written(folder), tree)
        checks.check_mode(before.execution_mode, mode)
    stack = Stack(
        folder=folder,
        run_id=config.run.id,
        database=database,
        ports=Ports(),
        execution_mode=mode,
        code_digest=code.CODE,
        config_digest=settings.digest(text),
        work_folder=os.getcwd(),
        generation=1,
        supervisor=process("supervisor"),
        processes=(),
        jobs=before.jobs if before else (),
        store_kind=config.store.kind,
        outside=outside,
    )
    write_file(folder / CONFIG, text)
    secrets.name(folder, config)
    write(stack)
    return stack


def _wait_for_slots(stack: Stack, note: Note, patience_s: float) -> None:
    """Return once a JobManager has TaskManagers; ConfigError says what it last answered."""
    deadline = time.monotonic() + patience_s
    problem = "it has no TaskManager"
    note(f"waiting for {stack.rest}")
    while time.monotonic() < deadline:
        try:
            if Flink(stack.rest, stack.prefix).slots() > 0:
                return
        except FlinkAwayError as error:
            problem = str(error)
        time.sleep(POLL_S)
    raise ConfigError(f"Flink at {stack.rest} can't take jobs after {patience_s:.0f} s: {problem}")


def configure_client(stack: Stack) -> None:
    """Write the configuration of Flink's client into the folder.

    It is that of the cluster, which FLINK_CONF_DIR names: settings of checkpoints and state go
    with a job when it is submitted.
    """
    parts = urlsplit(stack.rest)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    folder = stack.folder / "flink"
    for name in ("log", "tmp", "plugins"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    base = Path(os.environ.get(CONF_VARIABLE) or flink.CONF) / "config.yaml"
    found = {
        **yaml.safe_load(base.read_text(encoding="utf-8")),
        **{key: str(value) for key, value in _of_client(folder, port).items()},
        "rest.address": parts.hostname,
        "rest.port": port,
    }
    text = yaml.safe_dump(found, width=1000)
    (folder / "conf" / "config.yaml").write_text(text, encoding="utf-8")
    log = (flink.CONF / "log4j.properties").read_text(encoding="utf-8")
    (folder / "conf" / "log4j-cli.properties").write_text(log, encoding="utf-8")


def _of_client(folder: Path, port: int) -> dict[str, object]:
    """This process's Python, whose code is that of the cluster's."""
    return {
        **machine_settings(folder, port, (jvm.REPO,)),
        "env.java.opts.client": " ".join(jvm.java_options()),
    }


def addresses(given: Sequence[str]) -> tuple[str, ...]:
    """URLs without the slash at their end."""
    return tuple(one.rstrip("/") for one in given)
