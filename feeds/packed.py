"""What files hold, unpacked: plain ones, gzip, and members of zips (a wheel is a zip too).

How a file is packed is told from its first bytes. A packed file that would unpack to more than a
sane size is refused before it is unpacked.
"""

import fnmatch
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from udfs.errors import ConfigError, nearest

MIB = 2**20
MOST_BYTES = 4096 * MIB
# Real bars pack to a 4th, and to a 30th where nothing was traded; zeros pack to a 1000th.
MOST_RATIO, RATIO_FROM = 200, 64 * MIB
PIECE = 16 * MIB
ZIP, GZIP = (b"PK\3\4", b"PK\5\6"), b"\x1f\x8b"
IGNORED = ("__MACOSX/", ".")  # how names of members begin that no person put there
# What the readers of packed files raise of damaged ones, names of members included.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError,
    UnicodeDecodeError,
)  # fmt: skip


class Content(NamedTuple):
    """Unpacked bytes, the name that may tell their layout, and how messages call them."""

    source: str
    name: str
    data: bytes


def contents(path: str, member: str | None) -> Iterator[Content]:
    """What is to be read of a file: itself, or the members that `member` names (a pattern).

    ConfigError where it can't be read, or which member is meant can't be told.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            file.seek(0)
            if start.startswith(ZIP):
                yield from _members(path, file, member)
                return
            if member is not None:
                raise ConfigError(f"{path}: is no zip, so it has no member {member!r}")
            name = Path(path).name
            if start.startswith(GZIP):
                name = name[: -len(".gz")] if name.lower().endswith(".gz") else name
                yield Content(path, name, _gunzip(path, file))
            else:
                yield Content(path, name, _plain(path, file))
    except DAMAGED as error:
        raise ConfigError(f"{path}: cannot be unpacked: {error or 'it ends early'}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _plain(path: str, file: io.BufferedReader) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > MOST_BYTES:
        raise _too_large(path, size, "split it first")
    return file.read()


def _gunzip(path: str, file: io.BufferedReader) -> bytes:
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    pieces, size = [], 0
    with gzip.open(file) as unpacked:
        while piece := unpacked.read(PIECE):
            pieces.append(piece)
            size += len(piece)
            _check_size(path, packed, size)
    return b"".join(pieces)


def _members(path: str, file: io.BufferedReader, member: str | None) -> Iterator[Content]:
    with zipfile.ZipFile(file) as archive:
        for info in _chosen(path, archive, member):
            source = path if member is None else f"{path}:{info.filename}"
            if info.flag_bits & 1:
                raise ConfigError(f"{source}: is encrypted; unpack it with its password first")
            _check_size(source, info.compress_size, info.file_size)
            # zipfile reads no more than the size that the archive states.
            yield Content(source, Path(info.filename).name, archive.read(info))


def _chosen(path: str, archive: zipfile.ZipFile, member: str | None) -> list[zipfile.ZipInfo]:
    infos = {
        info.filename: info
        for info in archive.infolist()
        if info.filename and not info.filename.endswith("/")
        if not info.filename.startswith(IGNORED)
    }
    shown = ", ".join(list(infos)[:5]) + (f", ... ({len(infos)} in all)" if len(infos) > 5 else "")
    if not infos:
        raise ConfigError(f"{path}: is a zip without files")
    if member is None:
        if len(infos) > 1:
            raise ConfigError(f"{path}: holds {shown}; give --member NAME, or a pattern of names")
        return list(infos.values())
    names = [member] if member in infos else fnmatch.filter(infos, member)
    if not names:
        raise ConfigError(
            f"{path}: has no member {member!r}{nearest(member, infos)}; it holds {shown}"
        )
    return [infos[name] for name in names]


def _check_size(source: str, packed: int, size: int) -> None:
    if size > MOST_BYTES:
        raise _too_large(source, size, "unpack and split it first")
    if size > RATIO_FROM and size > packed * MOST_RATIO:
        raise _too_large(
            source, size, f"packed it has {packed:,} bytes, so it is hardly bars; look at it first"
        )


def _too_large(source: str, size: int, advice: str) -> ConfigError:
    return ConfigError(f"{source}: holds {size / MIB:,.0f} MiB or more; {advice}")
