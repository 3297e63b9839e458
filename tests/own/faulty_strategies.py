"""Planted: strategies that each break one rule, named by what they do."""

import numpy as np

from udfs.plan import Params
from udfs.strategies import Kind
from udfs.strategies.kind import Actions, Columns, actions

LAST = [0.0]
CALLS = [0]


def _undeclared(columns: Columns, params: Params) -> Actions:
    return actions(columns["close"] > columns["sma_20"], columns["close"] < columns["sma_20"])


def _wrong_type(columns: Columns, params: Params) -> Actions:
    return np.sign(columns["close"] - columns["open"])  # type: ignore[no-any-return]


def _writes(columns: Columns, params: Params) -> Actions:
    columns["close"][:] = 0.0
    return actions(columns["close"] > columns["open"], columns["close"] < columns["open"])


def _writes_parameters(columns: Columns, params: Params) -> Actions:
    params["seen"] = True  # type: ignore[index]
    return actions(columns["close"] > columns["open"], columns["close"] < columns["open"])


def _two_back(columns: Columns, params: Params) -> Actions:
    close = columns["close"]
    older = np.concatenate((np.full(2, np.nan), close))[: len(close)]
    return actions(close > older, close < older)


def _remembers(columns: Columns, params: Params) -> Actions:
    close = columns["close"]
    older = np.concatenate(([np.nan], LAST, close))[: len(close)]  # two bars back
    LAST[0] = float(close[-2])
    return actions(close > older, close < older)


def _counts(columns: Columns, params: Params) -> Actions:
    CALLS[0] += 1
    answer = actions(columns["close"] > columns["open"], columns["close"] < columns["open"])
    answer[CALLS[0] % 7 :: 7] = 0
    return answer


def _raises(columns: Columns, params: Params) -> Actions:
    raise RuntimeError("no idea")


def _never(columns: Columns, params: Params) -> Actions:
    return np.zeros(len(columns["close"]), dtype=np.int8)


def _kind(name: str, signals: object) -> Kind:
    return Kind(
        name=name,
        doc="Breaks a rule.",
        version="1",
        params=(),
        problem=lambda params: None,
        features=lambda params: ("close", "open"),
        signals=signals,  # type: ignore[arg-type]
        reasons=lambda params: ("rises", "falls"),
    )


STRATEGIES = tuple(
    _kind(name, signals)
    for name, signals in (
        ("undeclared", _undeclared),
        ("wrong_type", _wrong_type),
        ("writes", _writes),
        ("writes_parameters", _writes_parameters),
        ("two_back", _two_back),
        ("remembers", _remembers),
        ("counts", _counts),
        ("raises", _raises),
        ("never", _never),
    )
)
