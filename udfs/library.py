"""What strategies and features a run may name: the built-in ones, and those that a user adds."""

from collections.abc import Mapping
from typing import NamedTuple

from udfs.features.own import NO_OWN, OwnFeatures
from udfs.strategies import KINDS, Kind


class Library(NamedTuple):
    """Kinds of strategies by name, and a user's kinds of features by stem."""

    kinds: Mapping[str, Kind]
    features: OwnFeatures


BUILT_IN = Library(KINDS, NO_OWN)
