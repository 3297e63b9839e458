"""State as bytes: what they hold, and that anything else is refused loudly."""

import json
import pickle

import pytest

from udfs import engine, state, tradepicker
from udfs.engine import EngineState
from udfs.errors import InvariantError
from udfs.lots import Lot
from udfs.rows import PositionChange
from udfs.state import dump, dump_counted, load_engine, load_gate
from udfs.tradepicker import GateKey, GateState, OpenOrder

LOT = Lot("o", "o:1", -1, 10**30, 5, -3, 5, 2, 10**40, "BNB", 1, 2)
ENGINE = EngineState((LOT, LOT), -4, 7, 1_000, -(10**60), 5, (("ADA", 2), ("BNB", -1)), 3, 900, 950)
CHANGE = PositionChange("a", "s", "X", 4, "o", "o:4", -1, 3, 10, 7, 123)
ORDER = OpenOrder("o", 1, False, 10, 4, 10**20, 500, True)
GATE: GateState = {
    ("s", "X"): GateKey(3, 500, 1, 10**50, 2, (ORDER,), (CHANGE,)),
    ("r", "Ø\x1f\ud800"): GateKey(),
}


def edited(data: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(data) | changes).encode()


def test_there_and_back() -> None:
    assert load_engine(dump(ENGINE)) == ENGINE
    assert load_engine(dump(engine.EMPTY)) == engine.EMPTY
    counted = engine.EMPTY._replace(net_qty=-(10**37), seq=3, newest_ts=4, updated_ts=5)
    for one in (engine.EMPTY, counted):
        assert dump_counted(one).encode() == dump(one)
    assert load_gate(dump(GATE)) == GATE
    assert load_gate(dump({})) == {}


def test_what_comes_back_is_of_the_same_types() -> None:
    # A NamedTuple equals a plain tuple of its values, so equality does not show this.
    loaded = load_gate(dump(GATE))["s", "X"]
    assert isinstance(loaded.orders[0], OpenOrder)
    assert isinstance(loaded.early[0], PositionChange)
    assert loaded.orders[0].filled is True
    assert isinstance(load_engine(dump(ENGINE)).lots[0], Lot)


def test_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert dump(dict(reversed(GATE.items()))) == dump(GATE)


def test_the_form_is_plain_json() -> None:
    """This text is what savepoints hold: a change of it needs a new version."""
    assert json.loads(dump(ENGINE)) == {
        "kind": "engine",
        "version": 1,
        "state": [
            [["o", "o:1", -1, 10**30, 5, -3, 5, 2, 10**40, "BNB", 1, 2]] * 2,
            *(-4, 7, 1_000, -(10**60), 5, [["ADA", 2], ["BNB", -1]], 3, 900, 950),
        ],
    }
    order = ["o", 1, False, 10, 4, 10**20, 500, True]
    change = ["a", "s", "X", 4, "o", "o:4", -1, 3, 10, 7, 123]
    assert json.loads(dump({("s", "X"): GATE["s", "X"]})) == {
        "kind": "gate",
        "version": 1,
        "state": [["s", "X", 3, 500, 1, 10**50, 2, [order], [change]]],
    }


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(InvariantError, match=r"version .* start from a savepoint"):
        load_engine(edited(dump(ENGINE), version=version))
    with pytest.raises(InvariantError, match="version"):
        load_gate(edited(dump(GATE), version=version))


def test_a_new_version_of_the_code_refuses_old_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    old = dump(GATE)
    monkeypatch.setitem(state.VERSIONS, state.GATE, tradepicker.STATE_VERSION + 1)
    with pytest.raises(InvariantError, match="'gate', version 1, where 'gate', version 2"):
        load_gate(old)


def test_the_other_kind_is_refused() -> None:
    with pytest.raises(InvariantError, match="'gate'"):
        load_engine(dump(GATE))
    with pytest.raises(InvariantError, match="'engine'"):
        load_gate(dump(ENGINE))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"null",
        b"{}",
        pickle.dumps(ENGINE),
        dump(ENGINE)[:-2],
        edited(dump(ENGINE), more=1),
        *(edited(dump(ENGINE), state=rows) for rows in (None, {}, 5, [], [[]], [[], 1])),
        edited(dump(ENGINE), state=[*ENGINE[:-1]]),
        edited(dump(ENGINE), state=[[[1, 2]], *ENGINE[1:]]),
        edited(dump(ENGINE), state=[[5], *ENGINE[1:]]),
        edited(dump(ENGINE), state=[*ENGINE[:6], [["BNB"]], *ENGINE[7:]]),
    ],
)
def test_damaged_bytes_of_an_engine_are_refused(data: bytes) -> None:
    with pytest.raises(InvariantError):
        load_engine(data)


KEY = ["s", "X", 3, 500, 1, 5, 2, [], []]


@pytest.mark.parametrize(
    "rows",
    [5, [5], [{}], [[]], [KEY[:-1]], [[*KEY, 1]], [[*KEY[:-2], [[1]], []]], [[["s"], *KEY[1:]]]],
)
def test_damaged_bytes_of_a_gate_are_refused(rows: object) -> None:
    with pytest.raises(InvariantError):
        load_gate(edited(dump(GATE), state=rows))
