"""Ctrl-C and its like held back where it would be lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held() -> Iterator[None]:
    """Signals that end this process by an exception come after the block.

    PyFlink and py4j swallow exceptions in places: a bare except around an import, what runs when
    Python frees a Java object. One Ctrl-C in 20 was lost while a job was made ready.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in taken:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)
