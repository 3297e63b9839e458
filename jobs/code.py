"""Which code runs: a digest that client and workers compare, and the archive for `flink run`.

A TaskManager keeps one Python interpreter and the modules it has imported for all its jobs, so
a job submitted after an edit would run old code without a word.
"""

import functools
import hashlib
import importlib
import os
import zipfile
from pathlib import Path

from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
GATEWAY_PORT = "PYFLINK_GATEWAY_PORT"
PACKAGES = ("jobs", "schemas", "udfs")


def _sources() -> list[tuple[str, bytes]]:
    """Path within the packages and content of every module, from a folder or an archive."""
    if ROOT.is_file():
        with zipfile.ZipFile(ROOT) as archive:
            names = [name for name in archive.namelist() if name.endswith(".py")]
            return [(name, archive.read(name)) for name in sorted(names)]
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted((file.relative_to(ROOT).as_posix(), file.read_bytes()) for file in files)


def _digest() -> str:
    digest = hashlib.sha256()
    for name, content in _sources():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


# Taken when this module is imported, as what an interpreter runs is what it imported then.
CODE = _digest()


def in_cluster() -> bool:
    """Whether `flink run` started this script: it gives the script a gateway of its own."""
    return GATEWAY_PORT in os.environ


def client_code() -> str | None:
    """What a job's workers must have; None for a local run, whose interpreter is as new as it."""
    return CODE if in_cluster() else None


def check_code(client: str | None) -> None:
    """Raise ConfigError unless this interpreter imported the code that the client has."""
    if client is None:
        return
    if client != CODE:
        raise ConfigError(
            f"the TaskManager runs other code ({CODE[:12]}, from {ROOT}) than the client "
            f"({client[:12]}): restart it, and submit with -pyfs of the same code"
        )
    _import_all()


@functools.cache
def _import_all() -> None:
    """Import every module, once, while the job's folder is there.

    A TaskManager removes that folder when the job ends and keeps the packages that it imported
    from it: a later job would not find those of their modules that this one does not use.
    """
    for name, _ in _sources():
        module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        importlib.import_module(module)


def write_archive(file: Path) -> Path:
    """Write all modules into one zip file for `flink run -pyfs`, the same bytes every time."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _sources():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file
