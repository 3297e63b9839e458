"""The command of one live job: `flink run -py jobs/indicators.py --config conf/live.yaml`.

`tradeflow submit` does the same for a stack of `tradeflow up`, and remembers where a job went on.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.config import Config, load_config
from schemas.overrides import settings
from udfs.errors import ConfigError, TradeflowError

if TYPE_CHECKING:
    from jobs.store.place import StorePlace

FILES = "files"


def is_live(arguments: Sequence[str]) -> bool:
    """Whether these name a configuration whose tables are in a store; False where it can't be read.

    What is wrong with it is told by whoever reads it next.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    options, _ = parser.parse_known_args(arguments)
    if options.config is None:
        return False
    try:
        return load_config(options.config, settings(options.set)).store.kind != FILES
    except TradeflowError:
        return False


def main(name: str, arguments: Sequence[str]) -> int:
    """Submit the job; 2 where something is wrong."""
    options = _parser(name).parse_args(arguments)
    try:
        config = load_config(options.config, settings(options.set))
        print(submit(name, config, options))
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def submit(name: str, config: Config, options: argparse.Namespace) -> str:
    """Submit the job to the cluster of `flink run`; Flink's id of it."""
    from jobs.code import in_cluster

    if not in_cluster():
        raise ConfigError(
            f"a live job runs on a cluster: `flink run -py jobs/{name.replace('-', '_')}.py ...`, "
            f"or `tradeflow submit {name}`"
        )
    from jobs.live import run
    from jobs.live.journal import Journal
    from jobs.live.operators import now_ms
    from jobs.live.stages import build, live_job

    at = address(config, options)
    strategies = sorted(set(options.strategy))
    job = live_job(config, name, strategies)
    make = partial(build, job, now_ms, Journal(at))
    shown = f"{name}:{','.join(strategies)}" if strategies else name
    parallelism = options.parallelism or config.live.parallelism
    place = run.Place(at, config.fluss.fetch_wait_ms)
    (job_id,) = run.submit([run.Job(shown, make)], place, parallelism, config.run.id)
    return job_id


def address(config: Config, options: argparse.Namespace) -> "StorePlace":
    """The store and the database: as given, else as configured, else those of the stack."""
    from jobs.stack import state
    from jobs.stack.place import folder_of
    from jobs.store.login import login_of
    from jobs.store.place import address as configured
    from jobs.store.place import store_place

    store = options.store
    if store is None and options.dir is None and config.store.addresses is not None:
        store = configured(config.store.addresses, config.store.kind)
    if store is not None:
        named = options.database or config.store.database
        database = state.database_of(config.run.id, named)
        found = store_place(store, database, config.store.kind)
        return found._replace(login=login_of(config.store.security))
    folder = folder_of(config.run.id, options.dir)
    stack = state.read(folder)
    if stack is None:
        raise ConfigError(
            f"there is no stack in {folder}; start one by `tradeflow up`, or name it by --dir, or "
            "a store by --store or store.addresses"
        )
    return stack.store._replace(database=options.database or stack.database)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"flink run -py jobs/{name.replace('-', '_')}.py", description=__doc__
    )
    parser.add_argument("--config", required=True, type=Path, help="the YAML file of the run")
    parser.add_argument("--dir", type=Path, help="the stack's folder (default: .run/live/<run id>)")
    parser.add_argument("--store", help="the store's address instead of a stack's")
    parser.add_argument("--database", help="its database (default: after run.id)")
    parser.add_argument("--parallelism", type=int, help="instead of live.parallelism")
    parser.add_argument("--strategy", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser
