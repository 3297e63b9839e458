"""Which changes of a configuration are strategies that join a run, and which are refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.stack import joining, settings
from jobs.stack.state import Ports, Stack, process
from schemas.config import parse_config
from udfs.errors import ConfigError

LIVE = Path(__file__).resolve().parents[2] / "conf" / "live.yaml"
LATE = {"id": "late", "kind": "ema_cross", "params": {"fast": 3, "slow": 7}}
NOON = "2024-03-01T12:00:00Z"
NOON_MS = 1_709_294_400_000


def tree(*more: dict[str, Any], **account: Any) -> dict[str, Any]:
    """conf/live.yaml with strategies that its account follows, and other values for the account."""
    found: dict[str, Any] = yaml.safe_load(LIVE.read_text(encoding="utf-8"))
    found["strategies"] += more
    (own,) = found["accounts"]
    own["strategies"] += [one["id"] for one in more]
    own.update(account)
    return found


def join(now: dict[str, Any]) -> joining.Joining:
    """What joins conf/live.yaml by another configuration."""
    config = parse_config(now)
    before = settings.resolved(parse_config(tree()))
    begins = {one.id: one.from_ts for one in config.strategies}
    found = joining.joining(before, settings.resolved(config), begins)
    joining.changed_keys(a_stack(), before, found)
    return found


def a_stack() -> Stack:
    own = process("supervisor")
    return Stack(Path("/x"), "live", "live", Ports(), "thread", "", "", "", 1, own, (), ())


def test_a_strategy_with_a_time_joins_and_nothing_else_differs() -> None:
    now = tree(LATE | {"from": NOON}, weights={"late": "0.5"})
    assert join(now).begins == {"late": NOON_MS}
    assert join(tree()).begins == {}


def test_a_strategy_without_a_time_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"strategies.late: it is new .* write from: 2024"):
        join(tree(LATE))


@pytest.mark.parametrize("other", [{"fee_bps": "1"}, {"weights": {"late": "1", "rsi-14": "2"}}])
def test_another_change_beside_it_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"another configuration: accounts.main"):
        join(tree(LATE | {"from": NOON}, **other))


def test_one_that_is_gone_is_refused() -> None:
    now = tree(LATE | {"from": NOON})
    now["strategies"] = [one for one in now["strategies"] if one["id"] != "channel"]
    now["accounts"][0]["strategies"].remove("channel")
    with pytest.raises(ConfigError, match="another configuration"):
        join(now)


def test_a_stack_that_is_down_can_not_be_joined() -> None:
    found = join(tree(LATE | {"from": NOON}))
    joining.refuse_unless_running(found, True)
    with pytest.raises(ConfigError, match="late would join a stack that is down"):
        joining.refuse_unless_running(found, False)


def test_a_key_that_older_code_did_not_know_has_not_changed_while_it_is_off() -> None:
    now = settings.resolved(parse_config(tree()))
    before = settings.resolved(parse_config(tree()))
    for one in before["strategies"]:
        del one["intrabar"]
    assert settings.changes(before, now) == []
    now["strategies"][0]["intrabar"] = True
    assert len(settings.changes(before, now)) == 1


def test_the_first_intrabar_strategy_can_not_join() -> None:
    early = LATE | {"from": NOON, "timeframe": "5m", "intrabar": True}
    with pytest.raises(ConfigError, match=r"late.intrabar: no strategy of this run is intrabar"):
        join(tree(early))
    assert join(tree(early | {"timeframe": "1m"})).begins == {"late": NOON_MS}
    before, now = tree(early | {"id": "there"}), tree(early | {"id": "there"}, early)
    trees = [settings.resolved(parse_config(one)) for one in (before, now)]
    assert joining.joining(*trees, {"there": NOON_MS, "late": NOON_MS}).begins == {"late": NOON_MS}
