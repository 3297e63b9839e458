"""What goes wrong with a stack, so that alerts say so."""

import time
from decimal import Decimal
from pathlib import Path

from jobs.stack import control
from jobs.stack.rest import Flink
from jobs.store.client import Writing
from schemas.signals import STRATEGY_SIGNAL_HISTORY
from schemas.trading import EXEC_REPORT_HISTORY
from tests.live.live_runs import kill, stand_still, wait_for
from tests.live.watched_stack import HELD, OUT, Watched, command


def report(
    watched: Watched, symbol: str, worth: str, order: str = "drill", side: str = "BUY"
) -> None:
    """The account outside buys or sells for so much."""
    close = Decimal(str(watched.closes[symbol]))
    row = {
        "account_id": OUT, "strategy_id": "cross", "symbol": symbol, "order_id": order,
        "fill_id": "1", "side": side, "fill_qty": Decimal(worth) / close, "fill_price": close,
        "ts": watched.next_ts, "fee": Decimal(0), "run_id": watched.config.run.id,
    }  # fmt: skip
    row["fill_qty"] = row["fill_qty"].quantize(Decimal("0.001"))  # type: ignore[union-attr]
    values = [row.get(column.name) for column in EXEC_REPORT_HISTORY.stored]
    with watched.client() as client:
        client.write(Writing(EXEC_REPORT_HISTORY, [values]))


def refused(watched: Watched) -> None:
    """Signals for nothing; all but one at most are refused by each account that follows."""
    rows = [
        {
            "signal_id": f"nothing-{number}", "strategy_id": "cross", "symbol": HELD,
            "timeframe": "1m", "signal_ts": watched.next_ts, "action": "BUY", "close": 1.0,
            "size_hint": 0.0, "confidence": 1.0, "reason": "drill", "strategy_version": "1",
            "params_hash": "0", "run_id": watched.config.run.id,
        }
        for number in range(40)
    ]  # fmt: skip
    columns = [column.name for column in STRATEGY_SIGNAL_HISTORY.stored]
    with watched.client() as client:
        found = [[row[name] for name in columns] for row in rows]
        client.write(Writing(STRATEGY_SIGNAL_HISTORY, found))


def hold_up(pid: int) -> None:
    """The process stands still for longer than a checkpoint may last, but is not given up."""
    for _ in range(3):
        stand_still(pid, 6)
        time.sleep(5)


def thrice(watched: Watched, name: str) -> None:
    """kill -9 a process, and twice again what comes back."""
    for _ in range(3):
        wait_for(lambda: watched.pid(name) is not None, 30)
        kill(watched.stack.folder, name)
        time.sleep(1)


def cancel(watched: Watched, name: str) -> None:
    """End a job as nobody should."""
    flink = Flink(watched.stack.rest, watched.stack.prefix)
    (job,) = [one for one in flink.jobs() if one.name == name]
    flink.cancel(job.job_id)


def bring_back(watched: Watched) -> None:
    """Start what is not there as a person does."""
    up = control.up(watched.config, watched.stack.folder)
    print(f"up started {up.submitted}")
    assert up.problems == []


def garbage(watched: Watched) -> None:
    """A report with a quantity that is none, as a person feeds it."""
    header = "account_id,strategy_id,order_id,fill_id,symbol,side,fill_qty,fill_price,ts"
    line = f"{OUT},cross,x,1,{HELD},BUY,much,1,{watched.next_ts}"
    words = ("ingest", "--dir", str(watched.stack.folder), "--table", "exec_report_history")
    told = command(*words, given=f"{header}\n{line}\n")
    assert told.returncode in (0, 1), told.stderr


def block(folder: Path) -> None:
    """No checkpoint can be written."""
    folder.rename(folder.with_suffix(".away"))
    folder.write_text("")


def free(folder: Path) -> None:
    folder.unlink()
    folder.with_suffix(".away").rename(folder)
