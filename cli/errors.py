"""How errors reach a person: in plain words on standard error, with an exit code, no traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from udfs.errors import ConfigError, Refusal

REFUSED = 2
INTERRUPTED = 130  # as shells count a process ended by Ctrl-C
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOTHING_WRITTEN = "interrupted: nothing was written"


@contextmanager
def told(interrupted: str = NOTHING_WRITTEN) -> Iterator[None]:
    """Turn what a user can mend into one message and an exit code.

    Exit code 2 for ConfigError, Refusal and files that can't be read or written, 130 for Ctrl-C
    with the words of `interrupted`. Anything else is a fault of ours and keeps its traceback.
    """
    try:
        yield
    except (ConfigError, Refusal) as error:
        raise failed(str(error)) from None
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if error.filename is None:
            if error.errno not in FULL:
                raise
            raise failed(f"standard output: {error.strerror}") from None
        raise failed(f"{error.filename}: {error.strerror}") from None


def failed(message: str) -> typer.Exit:
    """Print `error: ...` and give the exit to raise."""
    print(f"error: {_printable(message)}", file=sys.stderr)
    return typer.Exit(REFUSED)


def _printable(message: str) -> str:
    """The message with escapes for what would move a terminal's cursor: files can hold anything."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1]
        for letter in message
    )
