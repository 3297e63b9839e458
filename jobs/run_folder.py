"""A run's folder: filled beside its place, moved there whole, manifest.json last.

Whatever ends a run early (a full disk, Ctrl-C, kill -9) leaves no folder that looks finished: at
worst one whose name begins with a dot and which has no manifest.json.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.columns import plain
from udfs.errors import ConfigError, Refusal

MANIFEST = "manifest.json"
INCOMPRESSIBLE = ("match_id", "signal_id", "order_id", "buy_order_id", "sell_order_id", "lot_id")


class RunFolder:
    """The folder `<out>/<run id>`, under construction until `finish`."""

    def __init__(self, out: Path, run_id: str, overwrite: bool) -> None:
        self.final = out / run_id
        self.staging = out / f".{run_id}.{os.getpid()}.partial"
        if self.final.exists():
            self._check_existing(overwrite)
        try:
            out.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir()
        except OSError as error:
            raise ConfigError(
                f"--out: cannot write to {out}: {error.strerror}; name a folder that you may "
                "write to"
            ) from None

    def _check_existing(self, overwrite: bool) -> None:
        if not overwrite:
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
        """Write the manifest and move the folder to its place."""
        path = self.staging / MANIFEST
        path.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        replaced = self.staging.with_suffix(".replaced")
        if self.final.exists():
            self.final.rename(replaced)
        try:
            self.staging.rename(self.final)
        except BaseException:
            if replaced.exists() and not self.final.exists():
                replaced.rename(self.final)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        return self.final

    def discard(self) -> None:
        """Remove what was written so far."""
        shutil.rmtree(self.staging, ignore_errors=True)


def write_tables(folder: Path, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """One Parquet file per table; the number of rows of each."""
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    return {name: table.num_rows for name, table in sorted(tables.items())}


def write_table(path: Path, table: pa.Table) -> None:
    """A table as Parquet with plain column types; ids are random, so they are left uncompressed."""
    texts = {
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    }
    compression = {
        name: "none" if name in INCOMPRESSIBLE else "zstd" for name in table.column_names
    }
    pq.write_table(
        table,
        path,
        compression=compression,
        use_dictionary=sorted(texts - {*INCOMPRESSIBLE, "fill_id"}),
        store_schema=False,
    )


def as_frames(tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """The tables as pandas data frames."""
    return {name: plain(table).to_pandas() for name, table in tables.items()}
