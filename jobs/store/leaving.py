"""How a process ends that has used a store's client."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(code: str | int | None) -> NoReturn:
    """End as `sys.exit` does, but without taking the interpreter down.

    Fluss's client works on in threads of its own. One that comes to an interpreter which is being
    taken down ends the process by SIGABRT, whatever its code was to be.
    """
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):  # nobody reads it any more
        if isinstance(code, str):
            print(code, file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
