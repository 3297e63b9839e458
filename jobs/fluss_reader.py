"""Shortens how long a reader of Fluss's Flink connector may miss what there is to read.

Fluss 0.9.1 sends a new fetch when the answer to the last one is seen. Where the thread that noted
the answer is held up before it notes that nothing is under way any more, no new fetch is sent, and
the reader waits for an answer that cannot come, until its poll ends: 10 s, a constant of one class.
That class goes before the connector's own with a short one.
"""

import os
import struct
import zipfile
from pathlib import Path

from udfs.errors import ConfigError

CLASS = "org/apache/fluss/flink/source/reader/FlinkSourceSplitReader.class"
JAR = "a-fluss-reader.jar"  # jars come in the order of their names
POLL_MS = 50
LONG = struct.Struct(">Bq")  # of a class file's constants: tag and value
LONG_TAG = 5
THEIRS = LONG.pack(LONG_TAG, 10_000)
STAMP = (2020, 1, 1, 0, 0, 0)


def patched(connector: Path) -> Path:
    """The jar with the class, beside the connector; made where it is not there or is older.

    ConfigError where the connector's class is not the one that is known.
    """
    jar = connector.with_name(JAR)
    if jar.exists() and jar.stat().st_mtime >= connector.stat().st_mtime:
        return jar
    with zipfile.ZipFile(connector) as archive:
        code = archive.read(CLASS)
    if code.count(THEIRS) != 1:
        raise ConfigError(
            f"{connector.name} is another version than this one knows: its {CLASS} has "
            f"{code.count(THEIRS)} constants of 10 s and should have one; fetch it by `make jars`"
        )
    made = jar.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(made, "w") as archive:
        ours = code.replace(THEIRS, LONG.pack(LONG_TAG, POLL_MS))
        archive.writestr(zipfile.ZipInfo(CLASS, STAMP), ours)
    made.replace(jar)
    return jar
