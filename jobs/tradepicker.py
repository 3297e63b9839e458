"""The gate alone, as one bounded Flink job: signals and exec reports → accepted and rejected rows.

    flink run -py jobs/tradepicker.py -pyfs code.zip -p 2 --config conf/backtest.yaml \\
        --signals runs/demo/strategy_signal_history.parquet \\
        --exec-reports runs/demo/exec_report_history.parquet --out alone
    python -m jobs.tradepicker --config ... --signals ... --exec-reports ... --out alone

a task per row group of signals (rows for every account that follows) and per file of reports
  → keyed by account: fills as changes of position (udfs/engine.py), then the gate's step
    (udfs/tradepicker.py) over changes and signals in the order of events (udfs/gate_fold.py)
  → one writer (both tables in order, jobs/trace.py)

Key: account. State: its signals and reports until the input has ended. Invariant: the decisions
are those of the traced backtest that wrote the files, at any parallelism. A run's files do not
tell of an order that ended without a fill (its price rounded to 0): it stays out here.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import columns, engine_files, stage_files, stage_job, trace
from jobs.group_stage import Columns
from jobs.sources import Place
from jobs.stage_files import Wanted
from jobs.stage_job import RUN, Dataflow, Files, Stage, Written
from schemas.signals import STRATEGY_SIGNAL_HISTORY
from schemas.trading import EXEC_REPORT_HISTORY
from udfs import gate_fold, ids
from udfs.account_fold import decision_columns
from udfs.errors import ConfigError, nearest
from udfs.plan import AccountPlan, RunPlan
from udfs.reports import REQUIRED_COLUMNS
from udfs.rows import BUY, SELL, Code, Decision, ReportCode, Signal
from udfs.tradepicker import GateParams

SIGNALS, EXEC_REPORTS = "signals", "exec-reports"
NO_ORDER = "0" * ids.ID_LENGTH
ACTIONS = {"SELL": SELL, "BUY": BUY}
SIGNAL_COLUMNS = (
    "signal_id",
    "strategy_id",
    "symbol",
    "signal_ts",
    "action",
    "close",
    "size_hint",
)
Report = dict[str, str | None]


class ReportFile(NamedTuple):
    """A file of exec reports, to be read as a whole."""

    path: str


class Decided(NamedTuple):
    """An account's decisions as columns, and what it counts. `account` indexes the plan."""

    account: int
    decisions: Columns
    report_rejects: Counter[str]
    duplicates: int
    over_cap: int


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Signals and reports → by account → its decisions → the tables."""
    signals = stage_files.wanted(f"--{SIGNALS}", STRATEGY_SIGNAL_HISTORY, SIGNAL_COLUMNS)
    reports = stage_files.wanted(f"--{EXEC_REPORTS}", EXEC_REPORT_HISTORY, REQUIRED_COLUMNS)
    places, inputs = stage_files.plan_places(
        stage_files.find_files(signals, files[SIGNALS]), signals
    )
    report_places, report_inputs = stage_files.plan_places(
        stage_files.find_files(reports, files[EXEC_REPORTS]), reports
    )
    paths = dict.fromkeys(place.path for place in report_places)
    return Dataflow(
        tasks=[*places, *map(ReportFile, paths)],
        read=partial(by_account, plan, signals),
        fold=partial(decide, plan),
        write=partial(tables, plan),
        inputs=[*inputs, *report_inputs],
    )


def by_account(
    plan: RunPlan, wanted: Wanted, task: Place | ReportFile
) -> Iterator[tuple[str, pa.Table | list[Report] | Counter[str]]]:
    """Signals of every account that follows them, or each account's reports."""
    if isinstance(task, ReportFile):
        yield from reports_by_account(plan, task)
        return
    table = read_signals(plan, wanted, task)
    strategies = table["strategy_id"].to_pylist()
    for account in plan.accounts:
        followed = set(account.strategies)
        own = table.filter(pa.array([name in followed for name in strategies], pa.bool_()))
        if own.num_rows:
            yield account.account_id, own


def read_signals(plan: RunPlan, wanted: Wanted, place: Place) -> pa.Table:
    """A row group of signals, every one of this run's strategies and symbols."""
    table = stage_files.read_place(place, wanted)
    names = [strategy.strategy_id for strategy in plan.strategies]
    stage_files.check_values(place, table, "strategy_id", names, "a strategy of the configuration")
    names = [symbol.symbol for symbol in plan.symbols]
    stage_files.check_values(place, table, "symbol", names, "a symbol of the configuration")
    stage_files.check_values(place, table, "action", list(ACTIONS), "BUY or SELL")
    stage_files.check_ids(place, table, "signal_id")
    for name in ("close", "size_hint"):
        stage_files.check_all(place, table, name, pc.is_finite(table[name]), "a finite number")
    return table


def reports_by_account(
    plan: RunPlan, file: ReportFile
) -> Iterator[tuple[str, list[Report] | Counter[str]]]:
    """Each account's reports; to the writer, how many name no account."""
    known = [account.account_id for account in plan.accounts]
    found: dict[str, list[Report]] = {}
    for number, report in enumerate(engine_files.read_reports(Path(file.path)), 1):
        account = report["account_id"] or ""
        if account and account not in known:
            raise ConfigError(
                f"{file.path}: row {number}: column 'account_id' is {account!r}; expected an "
                f"account of the configuration{nearest(account, known)}"
            )
        found.setdefault(account, []).append(report)
    nameless = found.pop("", [])
    yield RUN, engine_files.sort_out(nameless, quote_of(plan), plan.run_id)[2]
    yield from found.items()


def quote_of(plan: RunPlan) -> engine_files.Quote:
    """Each symbol's quote currency; a symbol that is not configured cannot have one."""
    quotes = {symbol.symbol: symbol.quote for symbol in plan.symbols}
    return lambda symbol: quotes.get(symbol, "")


def decide(
    plan: RunPlan, account_id: str, values: list[pa.Table | list[Report]]
) -> Iterator[Decided]:
    """An account's decisions."""
    number = [account.account_id for account in plan.accounts].index(account_id)
    account = plan.accounts[number]
    signals = account_signals([value for value in values if isinstance(value, pa.Table)])
    reports = [report for value in values if isinstance(value, list) for report in value]
    named = with_strategy(account, signals, reports)
    fills, _, rejected = engine_files.sort_out(named, quote_of(plan), plan.run_id)
    changes, duplicates = gate_fold.position_changes(fills, plan.dedupe_ttl_ms)
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    gated = gate_fold.fold(signals, changes, GateParams(account, plan.gate, symbols))
    rows = decision_rows(plan, gated.decisions)
    yield Decided(number, rows, rejected, duplicates, gated.over_cap)


def account_signals(pieces: list[pa.Table]) -> list[Signal]:
    """An account's signals, each id once."""
    if not pieces:
        return []
    table = stage_files.first_rows(pa.concat_tables(pieces), STRATEGY_SIGNAL_HISTORY)
    return [
        Signal(
            signal_id=row["signal_id"],
            strategy_id=row["strategy_id"],
            symbol=row["symbol"],
            ts=row["signal_ts"],
            action=ACTIONS[row["action"]],
            close=row["close"],
            size_hint=row["size_hint"],
        )
        for row in table.to_pylist()
    ]


def with_strategy(
    account: AccountPlan, signals: Sequence[Signal], reports: list[Report]
) -> list[Report]:
    """Reports without a strategy get their order's, where one of the signals gave that order."""
    if all(report["strategy_id"] for report in reports):
        return reports
    orders = {ids.order_id(account.account_id, s.signal_id): s.strategy_id for s in signals}
    return [
        {**report, "strategy_id": report["strategy_id"] or orders.get(report["order_id"] or "")}
        for report in reports
    ]


def decision_rows(plan: RunPlan, decisions: Sequence[Decision]) -> Columns:
    """Decisions as the columns that jobs/trace.py makes tables of."""
    strategies = {one.strategy_id: i for i, one in enumerate(plan.strategies)}
    symbols = {one.symbol: i for i, one in enumerate(plan.symbols)}
    return {
        "strategy": np.array([strategies[d.strategy_id] for d in decisions], dtype=np.int32),
        "symbol": np.array([symbols[d.symbol] for d in decisions], dtype=np.int32),
        "ts": np.array([d.ts for d in decisions], dtype=np.int64),
        "action": np.array([d.action for d in decisions], dtype=np.int8),
        "signal_id": columns.id_rows([d.signal_id for d in decisions]),
        "order_id": columns.id_rows([d.order_id or NO_ORDER for d in decisions]),
        **decision_columns(decisions),
    }


def tables(plan: RunPlan, values: list[Decided | Counter[str]]) -> Written:
    """Both tables in order."""
    none = Decided(0, decision_rows(plan, []), Counter(), 0, 0)
    decided = [value for value in values if isinstance(value, Decided)] or [none]
    nameless = [value for value in values if isinstance(value, Counter)]
    accepted = trace.decision_table(plan, decided, accepted=True)
    rejected = trace.decision_table(plan, decided, accepted=False)
    codes = Counter(rejected["code"].to_pylist())
    bad = sum((*nameless, *(one.report_rejects for one in decided)), Counter())
    written = {
        "accepted_trade_signal_history": accepted,
        "rejected_trade_signal_history": rejected,
    }
    counts = {
        "rejected": {code.value: codes[code.value] for code in Code if codes[code.value]},
        "report_rejects": {code.value: bad[code.value] for code in ReportCode if bad[code.value]},
        "duplicates": sum(one.duplicates for one in decided),
        "over_cap": sum(one.over_cap for one in decided),
    }
    return Written(written, counts)


STAGE = Stage(
    name="tradepicker",
    doc=__doc__,
    files={
        SIGNALS: "strategy_signal_history of a traced run: files, folders or patterns",
        EXEC_REPORTS: "exec_report_history of that run: files, folders or patterns",
    },
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.tradepicker import main as imported  # workers import its functions by their module

    sys.exit(imported(sys.argv[1:]))
