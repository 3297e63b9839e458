"""The one door to numba: a typed decorator, so that strict typing reaches through it."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` to machine code, cached on disk, releasing the interpreter lock.

    Never with fastmath: values must be bit-identical however the input is cut into pieces.
    """
    return cast(Callable[P, R], numba.njit(cache=True, nogil=True)(function))
