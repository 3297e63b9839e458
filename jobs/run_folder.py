"""A run's folder: filled beside its place, moved there whole, manifest.json last.

Whatever ends a run early (a full disk, Ctrl-C, kill -9) leaves no folder that looks finished: at
worst one whose name begins with a dot and which has no manifest.json. The next run of that name
removes it.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.columns import plain
from udfs.errors import ConfigError, Refusal

MANIFEST = "manifest.json"
INCOMPRESSIBLE = ("match_id", "signal_id", "order_id", "buy_order_id", "sell_order_id", "lot_id")
PARTIAL, REPLACED = ".partial", ".replaced"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What rename says of a place that another run has taken meanwhile.
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_numbers = itertools.count()  # two runs of one name may share a process


class RunFolder:
    """The folder `<out>/<run id>`, under construction in a `with` block until `finish`.

    Whatever ends the block by an exception removes what was written; an OSError becomes a
    ConfigError that names the place.
    """

    def __init__(self, out: Path, run_id: str, overwrite: bool) -> None:
        self.final = out / run_id
        self.overwrite = overwrite
        # A process is alive or dead on its own machine only, and `out` may be shared.
        machine = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
        prefix = f".{run_id}.{machine}-"
        self.staging = out / f"{prefix}{os.getpid()}-{next(_numbers)}{PARTIAL}"
        self.made: list[Path] = []
        if os.path.lexists(self.final):
            self._check_existing()
        try:
            self.made = [folder for folder in (out, *out.parents) if not folder.exists()]
            out.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.final, prefix)
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir(parents=True)
        except OSError as error:
            self.discard()
            reason = "it is a file" if out.is_file() else error.strerror
            raise ConfigError(
                f"--out: cannot write to {out}: {reason}; name a folder that you may write to"
            ) from None
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.discard()
        if isinstance(error, OSError):
            raise unwritable(Path(error.filename or self.staging), error) from error

    def _check_existing(self) -> None:
        if not self.overwrite:
            raise Refusal(
                f"{self.final} exists already; choose another --run-id or --out, or --overwrite it"
            )
        if not self.final.is_dir() or (
            any(self.final.iterdir()) and not (self.final / MANIFEST).exists()
        ):
            raise Refusal(
                f"{self.final} is not the folder of a run (it has no {MANIFEST}), so it is not "
                "overwritten; choose another --run-id or --out"
            )

    def finish(self, manifest: Mapping[str, Any]) -> Path:
        """Write the manifest and move the folder to its place.

        Refusal where another run of this name came first, unless this one may overwrite it.
        """
        path = self.staging / MANIFEST
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        try:
            # A path that is no UTF-8 is written with escapes.
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            while not (self._move() or self._replace()):
                pass  # another run was quicker: its folder is looked at anew
        except OSError as error:
            raise unwritable(self.final, error) from error
        return self.final

    def _move(self) -> bool:
        """Move the folder to its place in one step, unless something is there."""
        try:
            self.staging.rename(self.final)
        except OSError as error:
            if error.errno in TAKEN:
                return False
            raise
        return True

    def _replace(self) -> bool:
        """As `_move`, with the run that is there taken out of the way and then removed."""
        if os.path.lexists(self.final):
            self._check_existing()
        replaced = self.staging.with_suffix(REPLACED)
        try:
            with contextlib.suppress(FileNotFoundError):
                self.final.rename(replaced)
            return self._move()
        finally:
            if replaced.is_symlink():
                replaced.unlink()
            elif self.final.exists():
                shutil.rmtree(replaced, ignore_errors=True)
            elif replaced.exists():
                replaced.rename(self.final)

    def discard(self) -> None:
        """Remove what was written so far, and folders that were made for it."""
        shutil.rmtree(self.staging, ignore_errors=True)
        for folder in self.made:
            try:
                folder.rmdir()
            except OSError:
                break  # another run uses it


def _remove_leftovers(final: Path, prefix: str) -> None:
    """Remove what runs of this name left that were killed; a run that they replaced stays, if it
    has no successor."""
    for left in final.parent.iterdir():
        if left.name.startswith(prefix):
            owner = left.name.removeprefix(prefix).partition("-")[0]
            is_left = left.suffix == PARTIAL or (left.suffix == REPLACED and final.exists())
            if is_left and owner.isdigit() and not _is_alive(int(owner)):
                shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is someone else's
    return True


def unwritable(path: Path, error: OSError) -> ConfigError:
    """What to tell of a file or folder that can't be written."""
    if error.errno in FULL:
        reason = f"{os.strerror(error.errno)}; free some space, or name another --out"
    else:
        reason = error.strerror or str(error)
    return ConfigError(f"{path}: cannot be written: {reason}")


def write_tables(folder: Path, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """One Parquet file per table; the number of rows of each. ConfigError where that fails."""
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        try:
            write_table(path, table)
        except OSError as error:
            raise unwritable(path, error) from error
    return {name: table.num_rows for name, table in sorted(tables.items())}


def write_table(path: Path, table: pa.Table) -> None:
    """A table as Parquet with plain column types; ids are random, so they are left uncompressed."""
    pq.write_table(table, path, **_parquet_options(table.schema))


class TableWriter:
    """A table written piece by piece, a row group each, in a `with` block; `rows` so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, piece: pa.Table) -> None:
        """Add a piece. ConfigError where that fails."""
        try:
            if self._writer is None:
                options = _parquet_options(piece.schema)
                self._writer = pq.ParquetWriter(self.path, piece.schema, **options)
            self._writer.write_table(piece)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.rows += piece.num_rows

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        except OSError as failed:
            raise unwritable(self.path, failed) from failed


def _parquet_options(schema: pa.Schema) -> dict[str, Any]:
    texts = {
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    }
    return {
        "compression": {n: "none" if n in INCOMPRESSIBLE else "zstd" for n in schema.names},
        "use_dictionary": sorted(texts - {*INCOMPRESSIBLE, "fill_id"}),
        "store_schema": False,
    }


def as_frames(tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """The tables as pandas data frames."""
    return {name: plain(table).to_pandas() for name, table in tables.items()}
