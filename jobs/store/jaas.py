"""Java's files of who is who (JAAS): how a JVM has passwords that no argument of it shows.

A file of the format is named by `-Djava.security.auth.login.config`. Fluss, Kafka and ZooKeeper all
read it, each its own sections. In Fluss's server.yaml they would be written to its log.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

OPTION = "-Djava.security.auth.login.config="
OWN_MODE, OWN_FOLDER_MODE = 0o600, 0o700


class Section(NamedTuple):
    """What one part of a JVM uses: a class that logs in, and its options, passwords among them."""

    name: str
    module: str
    options: Mapping[str, str]


def text(sections: Sequence[Section]) -> str:
    """The file; values are quoted as Java's reader of it unquotes them."""
    return "".join(
        f"{one.name} {{\n  {one.module} required"
        + "".join(f"\n    {_quoted(name)}={_quoted(value)}" for name, value in one.options.items())
        + ";\n};\n"
        for one in sections
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def write_private(file: Path, content: str) -> None:
    """Replace a file that its owner alone may read, also while it is written."""
    file.parent.mkdir(mode=OWN_FOLDER_MODE, parents=True, exist_ok=True)
    file.parent.chmod(OWN_FOLDER_MODE)
    part = file.with_suffix(f"{file.suffix}.{os.getpid()}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWN_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(content)
    part.replace(file)
