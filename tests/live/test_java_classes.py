"""Classes of our own in Java: rows come out of a text as they went in."""

import math
import os
from collections.abc import Iterator
from typing import Any

import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JJavaError

from jobs import java_classes, jvm
from jobs.jar_patches import JARS
from jobs.live.operators import rows_text

ROWS: list[list[Any]] = [
    ["a", 1, 2, 1.5, True],
    ['quote " and \\ and \n', 2**63 - 1, -(2**31), -0.0, False],
    ["\u00f8 \U0001f600 \x1f", -(2**63), 0, 1e-300, True],
    ["", 5, 2**31 - 1, 7, None],
    [None, None, None, math.inf, None],
    ["1", 0, 0, 0.1 + 0.2, False],
]


@pytest.fixture(scope="module")
def java() -> Iterator[Any]:
    """A Java process that knows the classes."""
    places = [str(JARS / java_classes.JAR), str(jvm.flink_home() / "lib" / "*")]
    port = launch_gateway(
        classpath=os.pathsep.join(places), java_path=str(jvm.find_java()), die_on_exit=True
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    yield gateway.jvm
    gateway.shutdown()


def read(java: Any, kinds: str, text: str) -> list[Any]:
    """The rows that Java makes of it."""
    found = java.java.util.ArrayList()
    collector = java.org.apache.flink.api.common.functions.util.ListCollector(found)
    java.tradeflow.Rows(kinds).flatMap(text, collector)
    return list(found)


def test_rows_are_read_as_they_were_written(java: Any) -> None:
    rows = read(java, "SLIDB", rows_text(ROWS))
    assert [[row.getField(at) for at in range(5)] for row in rows] == ROWS
    assert [row.getField(3).hex() for row in rows] == [float(row[3]).hex() for row in ROWS]
    assert {str(row.getKind()) for row in rows} == {"INSERT"}
    (nothing,) = read(java, "D", rows_text([[math.nan]]))
    assert math.isnan(nothing.getField(0))
    (gone,) = read(java, "SL", '[[true,"a",null]]')
    assert (str(gone.getKind()), gone.getArity()) == ("DELETE", 2)


@pytest.mark.parametrize(("kind", "value"), [("L", 1.0), ("L", 2**63), ("I", 2**31), ("S", 1)])
def test_a_value_of_another_kind_is_no_row(java: Any, kind: str, value: object) -> None:
    with pytest.raises(Py4JJavaError, match=r"IllegalArgument|ClassCast"):
        read(java, kind, rows_text([[value]]))  # type: ignore[list-item]
