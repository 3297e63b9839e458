"""A kind of feature that a user adds: a kernel with carried state, in a file of its own."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from udfs.bars import Bars, Floats

Periods = tuple[int, ...]


class FeatureKind(NamedTuple):
    """A kind of feature: `stem` and its `parameters` make the names, such as `efficiency_10`.

    `parameters` are (name, smallest value) of whole numbers, `example` are values for them.
    `initial(periods)` gives the state before the first bar, float64[k]. `kernel(state, bars,
    periods)` gets that state, the next n bars of one symbol and timeframe, and answers the state
    after them and the values, float64[n]; what is not finite counts as null. A value may depend on
    its own bar and those before, and must be the same bits however the bars are cut into calls,
    one by one included. The kernel may change the state that it is given, nothing else.
    """

    stem: str
    doc: str
    version: str
    parameters: tuple[tuple[str, int], ...]
    example: Periods
    initial: Callable[[Periods], Floats]
    kernel: Callable[[Floats, Bars, Periods], tuple[Floats, Floats]]

    @property
    def pattern(self) -> str:
        """The name with letters for parameters: `efficiency_N`."""
        return "_".join((self.stem, *(name.upper() for name, _ in self.parameters)))

    @property
    def example_name(self) -> str:
        """The name with the example's values."""
        return "_".join((self.stem, *map(str, self.example)))


OwnFeatures = Mapping[str, FeatureKind]  # by stem
NO_OWN: OwnFeatures = MappingProxyType({})
