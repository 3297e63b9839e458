"""Features of bars: numba kernels with carried state, the same for one live bar and a million."""

from udfs.features.catalog import (
    CATALOG,
    FEATURE_VERSION,
    CatalogEntry,
    Feature,
    bb_name,
    donchian_name,
    feature_name,
    lookback,
    macd_name,
    parse_feature,
    stoch_name,
)
from udfs.features.feature_set import FeatureSet, State, compute, feature_set, initial_state
from udfs.features.own import NO_OWN, FeatureKind, OwnFeatures, Periods

__all__ = [
    "CATALOG",
    "FEATURE_VERSION",
    "NO_OWN",
    "CatalogEntry",
    "Feature",
    "FeatureKind",
    "FeatureSet",
    "OwnFeatures",
    "Periods",
    "State",
    "bb_name",
    "compute",
    "donchian_name",
    "feature_name",
    "feature_set",
    "initial_state",
    "lookback",
    "macd_name",
    "parse_feature",
    "stoch_name",
]
