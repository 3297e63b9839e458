"""The state of gate and engine as bytes with a version, and back: plain data, no classes.

JSON text `{"kind": ..., "version": ..., "state": [...]}`, rows as lists in the order of their
fields. Python's JSON keeps integers of any size. Equal states give equal bytes. What cannot be
read as written raises InvariantError: a state that is only nearly right must not go on.
"""

import json
from typing import Any

from udfs import engine, tradepicker
from udfs.engine import EngineState
from udfs.errors import InvariantError
from udfs.lots import Lot
from udfs.rows import PositionChange
from udfs.tradepicker import GateKey, GateState, OpenOrder

GATE = "gate"
ENGINE = "engine"
_TEXT = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one each time
VERSIONS = {GATE: tradepicker.STATE_VERSION, ENGINE: engine.STATE_VERSION}


def dump(state: GateState | EngineState) -> bytes:
    """The state as bytes that `load_gate` or `load_engine` reads."""
    plain: list[Any]
    if isinstance(state, EngineState):
        kind, plain = ENGINE, list(state)
    else:
        # Sorted, so that the bytes do not tell in which order keys were first seen.
        kind, plain = GATE, [[*name, *key] for name, key in sorted(state.items())]
    held = {"kind": kind, "version": VERSIONS[kind], "state": plain}
    return _TEXT(held).encode()


def dump_counted(state: EngineState) -> str:
    """`dump` of a state that knows changes of position alone, as text, at a tenth of the time."""
    seq, newest, updated = state.seq, state.newest_ts, state.updated_ts
    shown = "null" if newest is None else newest
    return (
        f'{{"kind":"engine","version":{engine.STATE_VERSION},'
        f'"state":[[],{state.net_qty},{seq},{shown},0,0,[],0,0,{updated}]}}'
    )


def load_gate(data: bytes) -> GateState:
    """The gate's state; InvariantError where the bytes are no gate's or of another version."""
    try:
        return {(row[0], row[1]): _gate_key(row[2:]) for row in _plain(data, GATE)}
    except (TypeError, ValueError, LookupError) as error:
        raise InvariantError(f"the gate's state is damaged: {error}") from error


def load_engine(data: bytes) -> EngineState:
    """An engine key's state; InvariantError where the bytes are no engine's or another version."""
    try:
        return _engine_state(_plain(data, ENGINE))
    except (TypeError, ValueError, LookupError) as error:
        raise InvariantError(f"the engine's state is damaged: {error}") from error


def _plain(data: bytes, kind: str) -> list[Any]:
    """The rows, once kind and version are known to be right."""
    held = json.loads(data)
    if not isinstance(held, dict) or set(held) != {"kind", "version", "state"}:
        raise InvariantError(f"these bytes are no state of the {kind}")
    found = (held["kind"], held["version"])
    if found != (kind, VERSIONS[kind]):
        raise InvariantError(
            f"state of {found[0]!r}, version {found[1]!r}, where {kind!r}, version "
            f"{VERSIONS[kind]}, is read: start from a savepoint that this code wrote"
        )
    if not isinstance(held["state"], list):
        raise ValueError("its rows are no list")
    return held["state"]


def _fields(values: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Values by field; ValueError unless there is exactly one of each."""
    return dict(zip(names, values, strict=True))


def _gate_key(values: list[Any]) -> GateKey:
    fields = _fields(values, GateKey._fields)
    orders = tuple(OpenOrder(**_fields(order, OpenOrder._fields)) for order in fields["orders"])
    early = tuple(
        PositionChange(**_fields(change, PositionChange._fields)) for change in fields["early"]
    )
    return GateKey(**fields | {"orders": orders, "early": early})


def _engine_state(values: list[Any]) -> EngineState:
    fields = _fields(values, EngineState._fields)
    lots = tuple(Lot(**_fields(lot, Lot._fields)) for lot in fields["lots"])
    others = tuple((str(currency), int(amount)) for currency, amount in fields["other_fees"])
    return EngineState(**fields | {"lots": lots, "other_fees": others})
