"""Classes of our own in Java, for what Python is too slow for or can't reach; a jar of theirs.

Python's part of a task takes turns with all others of its process, and waits for its turn after
each call into Java. So what needs no thought is done there: lists of rows, in and out of Python.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jobs.live.pulse import BEAT_S, LIMIT_S

JAR = "a-tradeflow.jar"
STAMP = (2020, 1, 1, 0, 0, 0)
_ROW = "org.apache.flink.types.Row"
_FUNCTIONS = "org.apache.flink.api.common.functions"
_STATE = "org.apache.flink.runtime.state"
_OPERATORS = "org.apache.flink.streaming.api.operators"
_JACKSON = "org.apache.flink.shaded.jackson2.com.fasterxml.jackson"
# Kinds of a row's values, as `tradeflow.Rows` is told of them.
STRING, BIGINT, INT, DOUBLE, BOOLEAN = "SLIDB"
GATHERED = 500  # values that go on together at most
GONE = "-"  # behind the fields of a row that is no more


class Own(NamedTuple):
    """A class: what it extends and implements, and Java's code of its members."""

    name: str
    parent: str = "java.lang.Object"
    interfaces: tuple[str, ...] = ()
    constructor: str = ""
    fields: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


# What jobs/live/pulse.py is for Python. The time of day counts too: the other clock stands while a
# machine sleeps.
PULSE = Own(
    "tradeflow.Pulse",
    parent="java.lang.Thread",
    constructor='private Pulse() { super("pulse"); setDaemon(true); start(); }',
    fields=(
        "private static long last = System.nanoTime();",
        "private static long lastClock = System.currentTimeMillis();",
        "private static int stops = 0;",
        "private static final Thread beat = new tradeflow.Pulse();",
    ),
    methods=(
        f"""
public static synchronized int stops() {{
    long now = System.nanoTime(), clock = System.currentTimeMillis();
    if (now - last > {LIMIT_S * 1e9:.0f}L || clock - lastClock > {LIMIT_S * 1e3:.0f}L) stops++;
    last = now;
    lastClock = clock;
    return stops;
}}
""",
        f"public void run() {{ while (true) {{ Thread.sleep({BEAT_S * 1e3:.0f}L); stops(); }} }}",
    ),
)
# Values as one array of texts behind the key 0: the fields of a row, and whether it is gone. Or,
# where it is keyed, rows of a key and a text as one array of the texts behind the key of the first.
#
# What comes while the operator after this one works is gathered; it goes on once nothing more is
# there, by a mail to itself which the task reads before it takes in the next value. Nothing is left
# here at a checkpoint, so there is no state.
GATHER = Own(
    "tradeflow.Gather",
    parent=f"{_OPERATORS}.AbstractStreamOperator",
    interfaces=(
        f"{_OPERATORS}.OneInputStreamOperator",
        "org.apache.flink.util.function.ThrowingRunnable",
    ),
    constructor="public Gather(boolean keyed) { this.keyed = keyed; }",
    fields=(
        "private final boolean keyed;",
        "private transient java.util.ArrayList texts;",
        "private transient Object key;",
        "private transient int count;",
        "private transient int counted;",
        "private transient boolean looks;",
        "private transient org.apache.flink.api.common.operators.MailboxExecutor mailbox;",
    ),
    methods=(
        """
public void open() {
    super.open();
    texts = new java.util.ArrayList();
    int index = getOperatorConfig().getChainIndex();
    mailbox = getContainingTask().getMailboxExecutorFactory().createExecutor(index);
}
""",
        f"""
private void flush() {{
    if (count == 0) return;
    Object all = texts.toArray(new String[0]);
    texts.clear();
    count = 0;
    Object value = {_ROW}.of(new Object[] {{ key, all }});
    ((org.apache.flink.util.Collector) output).collect(
        new org.apache.flink.streaming.runtime.streamrecord.StreamRecord(value));
}}
""",
        f"""
public void processElement(org.apache.flink.streaming.runtime.streamrecord.StreamRecord record) {{
    Object value = record.getValue();
    {_ROW} row = value instanceof {_ROW} ? ({_ROW}) value : null;
    if (row == null) {{
        texts.add(value);
    }} else if (keyed) {{
        texts.add(row.getField(1));
    }} else {{
        if (row.getKind() == {_ROW}Kind.UPDATE_BEFORE) return;
        for (int at = 0; at < row.getArity(); at++) texts.add(String.valueOf(row.getField(at)));
        texts.add(row.getKind() == {_ROW}Kind.DELETE ? "{GONE}" : "");
    }}
    if (count == 0) key = keyed ? row.getField(0) : Integer.valueOf(0);
    count++;
    if (count >= {GATHERED}) {{
        flush();
    }} else if (!looks) {{
        looks = true;
        counted = 0;
        mailbox.execute(this, "gather");
    }}
}}
""",
        """
public void run() {
    looks = count > 0 && count != counted;
    counted = count;
    if (looks) mailbox.execute(this, "gather"); else flush();
}
""",
        "public void prepareSnapshotPreBarrier(long checkpoint) { flush(); }",
        "public void finish() { flush(); super.finish(); }",
    ),
)
# The key that Flink's states are meant for: of an array of messages to several it knows one.
KEYS = Own(
    "tradeflow.Keys",
    methods=(
        f"""
public static void use(Object backend, Object key) {{
    (({_STATE}.KeyedStateBackend) backend).setCurrentKey({_ROW}.of(new Object[] {{ key }}));
}}
""",
        """
public static void update(Object backend, Object state, Object values) {
    java.util.Iterator each = ((java.util.Map) values).entrySet().iterator();
    while (each.hasNext()) {
        java.util.Map.Entry one = (java.util.Map.Entry) each.next();
        use(backend, one.getKey());
        ((org.apache.flink.api.common.state.ValueState) state).update(one.getValue());
    }
}
""",
    ),
)
# Rows from a text, JSON [[whether it is gone, values...], ...], by the kinds of their
# columns: Python writes it sooner than it hands over each value.
ROWS = Own(
    "tradeflow.Rows",
    interfaces=(f"{_FUNCTIONS}.FlatMapFunction",),
    constructor="public Rows(String kinds) { this.kinds = kinds; }",
    fields=(
        "private final String kinds;",
        f"private static final {_JACKSON}.databind.ObjectMapper JSON = "
        f"new {_JACKSON}.databind.ObjectMapper().configure("
        f"{_JACKSON}.core.JsonParser$Feature.ALLOW_NON_NUMERIC_NUMBERS, true);",
    ),
    methods=(
        f"""
private static Object value(char kind, Object value) {{
    if (value == null) return null;
    if (kind == '{DOUBLE}') return Double.valueOf(((Number) value).doubleValue());
    if (kind == '{BOOLEAN}') return (Boolean) value;
    if (kind == '{STRING}') return (String) value;
    if (!(value instanceof Integer || value instanceof Long))
        throw new IllegalArgumentException(value + " is no whole number that fits");
    if (kind == '{BIGINT}') return Long.valueOf(((Number) value).longValue());
    return (Integer) value;
}}
""",
        f"""
private {_ROW} row(java.util.List values) {{
    {_ROW}Kind kind = {_ROW}Kind.INSERT;
    if (((Boolean) values.get(0)).booleanValue()) kind = {_ROW}Kind.DELETE;
    {_ROW} row = {_ROW}.withPositions(kind, kinds.length());
    for (int at = 0; at < kinds.length(); at++) {{
        row.setField(at, value(kinds.charAt(at), values.get(at + 1)));
    }}
    return row;
}}
""",
        """
public void flatMap(Object text, org.apache.flink.util.Collector out) {
    Object rows = JSON.readValue((String) text, java.util.List.class);
    java.util.Iterator each = ((java.util.List) rows).iterator();
    while (each.hasNext()) out.collect(row((java.util.List) each.next()));
}
""",
    ),
)


def make(java: Any, pool: Any, jar: Path) -> None:
    """Write the jar; `java` has Javassist's classes, `pool` those that ours refer to."""
    write(jar, ((own.name, _made(java, pool, own)) for own in (PULSE, GATHER, KEYS, ROWS)))


def write(jar: Path, classes: Iterable[tuple[str, bytes]]) -> None:
    """Write a jar of classes, names and code, as a whole or not at all."""
    part = jar.with_suffix(f".{os.getpid()}")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            for name, code in classes:
                path = f"{name.replace('.', '/')}.class"
                archive.writestr(zipfile.ZipInfo(path, STAMP), code)
        part.replace(jar)
    finally:
        part.unlink(missing_ok=True)


def _made(java: Any, pool: Any, own: Own) -> bytes:
    tool = java.javassist
    made = pool.makeClass(own.name, pool.get(own.parent))
    for name in own.interfaces:
        made.addInterface(pool.get(name))
    for code in own.fields:
        made.addField(tool.CtField.make(code, made))
    code = own.constructor or f"public {own.name.rpartition('.')[2]}() {{ }}"
    made.addConstructor(tool.CtNewConstructor.make(code, made))
    for code in own.methods:
        made.addMethod(tool.CtNewMethod.make(code, made))
    return bytes(made.toBytecode())
