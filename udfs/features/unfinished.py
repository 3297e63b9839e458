"""Bars that are not finished: a value as if the bar ended now, and a state that forgets it.

Each kernel has a form `_..._each` beside it, which calls it bar by bar: for a final bar with the
state, for another with a copy that is thrown away. So there is one definition of every value.
"""

from udfs.bars import Bools, Floats
from udfs.compiled import njit

Final = Bools | None  # which bars are final; None: all of them are


@njit
def state_for(state: Floats, scratch: Floats, is_final: bool) -> Floats:
    """The state that a bar may change: the state itself where it is final, else a copy of it."""
    if is_final:
        return state
    scratch[:] = state
    return scratch
