"""The paper broker alone, as one bounded Flink job: accepted rows and bars → exec_report_history.

    flink run -py jobs/paper_broker.py -pyfs code.zip -p 2 --config conf/backtest.yaml \\
        --accepted runs/demo/accepted_trade_signal_history.parquet --out alone
    python -m jobs.paper_broker --config ... --accepted ... --out alone

a task per symbol of bars (files → checked bars) and per row group of accepted rows (by symbol)
  → keyed by symbol: each order with its next bar, filled by the broker's step
    (udfs/paper_broker.py)
  → one writer (the table in order, jobs/trace.py)

Key: symbol. State: its bars and orders until the input has ended. Invariant: the fills are those
of the traced backtest that wrote the file, at any parallelism; an order is filled once or listed
in manifest.json as unfilled.
"""

import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import columns, stage_files, stage_job, trace
from jobs.assemble import input_counts
from jobs.group_stage import Columns
from jobs.sources import UNKNOWN, Place, Task
from jobs.stage_files import Wanted
from jobs.stage_job import PRICES, RUN, Dataflow, Files, Stage, Written
from jobs.symbol_stage import Intake, SymbolOut, count_unknown
from schemas.signals import ACCEPTED_TRADE_SIGNAL_HISTORY
from udfs import paper_broker, wide
from udfs.bars import Bars, join_bars, next_bars
from udfs.money import units
from udfs.paper_broker import PaperOrder
from udfs.plan import RunPlan
from udfs.rows import BUY, SELL, Fill, fill_order
from udfs.signal_columns import no_signals

ACCEPTED = "accepted"
ACTIONS = {"SELL": SELL, "BUY": BUY}
ORDER_COLUMNS = (
    "account_id",
    "signal_id",
    "strategy_id",
    "symbol",
    "action",
    "qty",
    "ts",
    "order_id",
)


class Filled(NamedTuple):
    """Fills of an account on one symbol as columns. `account` indexes the plan."""

    account: int
    fills: Columns


class Unfilled(NamedTuple):
    """An order without a fill, its fields in the order in which accepted rows are sorted."""

    ts: int
    account_id: str
    action: int
    strategy_id: str
    symbol: str
    order_id: str


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Bars and accepted rows → by symbol → its fills → the table."""
    wanted = stage_files.wanted(f"--{ACCEPTED}", ACCEPTED_TRADE_SIGNAL_HISTORY, ORDER_COLUMNS)
    places, inputs = stage_files.plan_places(
        stage_files.find_files(wanted, files[ACCEPTED]), wanted
    )
    tasks, bar_inputs = stage_job.bar_tasks(plan, files[PRICES])
    return Dataflow(
        tasks=[*tasks, *places],
        read=partial(by_symbol, plan, wanted),
        fold=partial(fill, plan),
        write=partial(tables, plan),
        inputs=[*bar_inputs, *inputs],
    )


def by_symbol(
    plan: RunPlan, wanted: Wanted, task: Task | Place
) -> Iterator[tuple[str, Bars | pa.Table | SymbolOut]]:
    """A symbol's bars (to the writer, what became of its rows), or orders of every symbol."""
    if isinstance(task, Task):
        yield from symbol_bars(plan, task)
        return
    orders = read_orders(plan, wanted, task)
    for symbol in pc.unique(orders["symbol"]).to_pylist():
        yield symbol, stage_files.rows_of(orders, "symbol", symbol)


def symbol_bars(plan: RunPlan, task: Task) -> Iterator[tuple[str, Bars | SymbolOut]]:
    """The bars that count, and what became of the others."""
    if task.symbol == UNKNOWN:
        yield RUN, count_unknown(plan, task, lambda rows: None)
        return
    intake = Intake(plan, task)
    for bars in intake.read(lambda rows: None):
        yield task.symbol, bars
    none = no_signals()
    yield RUN, SymbolOut(task.symbol, none, None, intake.rejects, intake.counts, [])


def read_orders(plan: RunPlan, wanted: Wanted, place: Place) -> pa.Table:
    """A row group of accepted rows, every one of this run's accounts, strategies and symbols."""
    table = stage_files.read_place(place, wanted)
    names = [account.account_id for account in plan.accounts]
    stage_files.check_values(place, table, "account_id", names, "an account of the configuration")
    names = [strategy.strategy_id for strategy in plan.strategies]
    stage_files.check_values(place, table, "strategy_id", names, "a strategy of the configuration")
    names = [symbol.symbol for symbol in plan.symbols]
    stage_files.check_values(place, table, "symbol", names, "a symbol of the configuration")
    stage_files.check_values(place, table, "action", list(ACTIONS), "BUY or SELL")
    stage_files.check_ids(place, table, "order_id")
    positive = pc.greater(table["qty"], pa.scalar(Decimal(0)))
    stage_files.check_all(place, table, "qty", positive, "a quantity above 0")
    return table


def fill(plan: RunPlan, symbol: str, values: list[Bars | pa.Table]) -> Iterator[Filled | Unfilled]:
    """A symbol's fills, account by account, and the orders that got none."""
    orders = [value for value in values if isinstance(value, pa.Table)]
    if not orders:
        return
    rows = stage_files.first_rows(pa.concat_tables(orders), ACCEPTED_TRADE_SIGNAL_HISTORY)
    bars = join_bars([value for value in values if isinstance(value, Bars)])
    at = next_bars(rows["ts"].to_numpy(), bars)
    fills: dict[int, list[Fill]] = {}
    numbers = {account.account_id: i for i, account in enumerate(plan.accounts)}
    for row, number in zip(rows.to_pylist(), at.tolist(), strict=True):
        account = numbers[row["account_id"]]
        done = next_fill(plan, account, row, bars, number)
        if done is not None:
            fills.setdefault(account, []).append(done)
        else:
            yield Unfilled(
                row["ts"],
                row["account_id"],
                ACTIONS[row["action"]],
                row["strategy_id"],
                symbol,
                row["order_id"],
            )
    for account, done_ones in fills.items():
        yield Filled(account, fill_rows(plan, sorted(done_ones, key=fill_order)))


def next_fill(
    plan: RunPlan, account: int, row: dict[str, Any], bars: Bars, number: int
) -> Fill | None:
    """The order's fill at bar `number`; None where there is none, or its price rounds to 0."""
    if number == len(bars.ts):
        return None
    order = PaperOrder(
        strategy_id=row["strategy_id"],
        symbol=row["symbol"],
        order_id=row["order_id"],
        action=ACTIONS[row["action"]],
        qty=units(row["qty"]),
    )
    return paper_broker.fill(
        order,
        int(bars.ts[number]) + plan.base_ms,
        float(bars.close[number]),
        plan.accounts[account],
        plan.symbol(row["symbol"]),
    )


def fill_rows(plan: RunPlan, fills: Sequence[Fill]) -> Columns:
    """Fills as the columns that jobs/trace.py makes the table of."""
    strategies = {one.strategy_id: i for i, one in enumerate(plan.strategies)}
    symbols = {one.symbol: i for i, one in enumerate(plan.symbols)}
    return {
        "strategy": np.array([strategies[one.strategy_id] for one in fills], dtype=np.int32),
        "symbol": np.array([symbols[one.symbol] for one in fills], dtype=np.int32),
        "ts": np.array([one.ts for one in fills], dtype=np.int64),
        "side": np.array([one.side for one in fills], dtype=np.int8),
        "qty": wide.from_ints([one.qty for one in fills]),
        "price": wide.from_ints([one.price for one in fills]),
        "fee": wide.from_ints([one.fee for one in fills]),
        "order_id": columns.id_rows([one.order_id for one in fills]),
    }


def tables(plan: RunPlan, values: list[Filled | Unfilled | SymbolOut]) -> Written:
    """The table in order."""
    filled = [value for value in values if isinstance(value, Filled)]
    unfilled = sorted(value for value in values if isinstance(value, Unfilled))
    symbols = [value for value in values if isinstance(value, SymbolOut)]
    reports = trace.report_table(plan, filled or [Filled(0, fill_rows(plan, []))])
    counts = {**input_counts(symbols), "unfilled": [order.order_id for order in unfilled]}
    return Written({"exec_report_history": reports}, counts)


STAGE = Stage(
    name="paper_broker",
    doc=__doc__,
    files={
        ACCEPTED: "accepted_trade_signal_history of a traced run: files, folders or patterns",
        PRICES: "bars instead of prices.files: paths or patterns",
    },
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.paper_broker import main as imported  # workers import its functions by their module

    sys.exit(imported(sys.argv[1:]))
