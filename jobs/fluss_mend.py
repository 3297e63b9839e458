"""Mends what keeps a tablet server of Fluss 0.9.1 that was killed from starting again.

Two faults of its recovery, both repaired in later versions of Fluss:

- A log whose newest segment holds one batch without records (rows that a first_row table had
  already) is taken for empty: `NoSuchElementException`, even where the server was ended in order
  since. A second such batch is added.
- A batch that was not written to its end: `EOFException`. It was never acknowledged, and is cut.
"""

import struct
from pathlib import Path

# Of a batch, format version 0, little endian: base offset, length of what follows, version,
# commit time, CRC-32C of what follows; schema, attributes, last offset delta, writer, its
# sequence, number of records.
LENGTH = struct.Struct("<qi")
HEAD = struct.Struct("<qibqI")
BODY = struct.Struct("<hbiqii")
EMPTY_BATCH = HEAD.size + BODY.size
NO_WRITER = -1
CASTAGNOLI = 0x82F63B78  # the polynomial, reversed
CLEAN = ".fluss_cleanshutdown"  # every batch was written to its end: none need be looked for


def mend(data: Path) -> list[Path]:
    """Mend the logs below a tablet server's data folder while it is down; the files changed."""
    is_clean = (data / CLEAN).exists()
    changed = []
    for folder in sorted(data.glob("**/log-*")):
        segments = sorted(folder.glob("*.log"))
        is_cut = bool(segments) and not is_clean and _cut_torn(segments[-1])
        if segments and (_fill_empty(segments[-1]) or is_cut):
            changed.append(segments[-1])
    return changed


def _cut_torn(segment: Path) -> bool:
    """Cut what follows the last whole batch."""
    size = segment.stat().st_size
    end = 0
    with segment.open("r+b") as file:
        while end + LENGTH.size <= size:
            file.seek(end)
            _, length = LENGTH.unpack(file.read(LENGTH.size))
            if length <= 0 or end + LENGTH.size + length > size:
                break
            end += LENGTH.size + length
        if end < size:
            file.truncate(end)
    return end < size


def _fill_empty(segment: Path) -> bool:
    """Add an empty batch of no writer after a single one, so that the segment can be read."""
    if segment.stat().st_size != EMPTY_BATCH:
        return False
    batch = segment.read_bytes()
    offset, length, version, commit_ts, _ = HEAD.unpack_from(batch)
    schema, attributes, last_delta, _, _, records = BODY.unpack_from(batch, HEAD.size)
    if version != 0 or records != 0:
        return False
    body = BODY.pack(schema, attributes, 0, NO_WRITER, NO_WRITER, 0)
    head = HEAD.pack(offset + last_delta + 1, length, version, commit_ts, crc32c(body))
    with segment.open("ab") as file:
        file.write(head + body)
    return True


def crc32c(data: bytes) -> int:
    """The CRC-32C of a few bytes, by bits."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
