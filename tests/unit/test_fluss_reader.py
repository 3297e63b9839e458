"""The connector's class with a shorter poll: one constant differs, and another class is refused."""

import os
import zipfile
from pathlib import Path

import pytest

from jobs import fluss_reader
from udfs.errors import ConfigError


def connector(folder: Path, code: bytes) -> Path:
    """A jar of that class."""
    jar = folder / "fluss-flink.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(fluss_reader.CLASS, code)
    return jar


def test_one_constant_differs(tmp_path: Path) -> None:
    code = b"\xca\xfe\xba\xbe" + fluss_reader.THEIRS + b"rest"
    jar = fluss_reader.patched(connector(tmp_path, code))
    with zipfile.ZipFile(jar) as archive:
        ours = archive.read(fluss_reader.CLASS)
    assert ours == b"\xca\xfe\xba\xbe" + b"\x05\0\0\0\0\0\0\0\x32" + b"rest"
    assert jar.name < "fluss-flink.jar"
    before = jar.stat().st_mtime_ns
    assert fluss_reader.patched(tmp_path / "fluss-flink.jar").stat().st_mtime_ns == before
    later = jar.stat().st_mtime + 10
    os.utime(connector(tmp_path, code), (later, later))
    assert fluss_reader.patched(tmp_path / "fluss-flink.jar").stat().st_mtime_ns > before


@pytest.mark.parametrize("code", [b"none", fluss_reader.THEIRS * 2])
def test_another_class_is_refused(tmp_path: Path, code: bytes) -> None:
    with pytest.raises(ConfigError, match="should have one; fetch it by `make jars`"):
        fluss_reader.patched(connector(tmp_path, code))
    assert not list(tmp_path.glob("a-*"))
