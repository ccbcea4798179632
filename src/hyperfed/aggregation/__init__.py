"""Combine the contributions of many clients into one: one rule a file, one interface.

Robust rules carry no privacy label (DESIGN section 6).
"""

from hyperfed.aggregation.adaptive import Adaptive
from hyperfed.aggregation.bounded_trust import (
    Trust,
    bounded_trust,
    bounded_trust_dense,
    trust_weights,
)
from hyperfed.aggregation.bucketing import Bucketing
from hyperfed.aggregation.bulyan import Bulyan
from hyperfed.aggregation.catalogue import RULES, PreAggregation, Preceded, build_rule
from hyperfed.aggregation.centered_clipping import CenteredClipping
from hyperfed.aggregation.clipping import Clipping
from hyperfed.aggregation.geometric_median import GeometricMedian
from hyperfed.aggregation.krum import Krum, MultiKrum
from hyperfed.aggregation.mean import Mean
from hyperfed.aggregation.median import Median
from hyperfed.aggregation.mixing import NearestMixing
from hyperfed.aggregation.outliers import detect_outliers
from hyperfed.aggregation.rule import Rule
from hyperfed.aggregation.smallest_subset import MinimumDiameter, SmallestEigenvalue
from hyperfed.aggregation.trimmed_mean import TrimmedMean
from hyperfed.aggregation.trusted_mean import TrustedMean

__all__ = [
    "RULES",
    "Adaptive",
    "Bucketing",
    "Bulyan",
    "CenteredClipping",
    "Clipping",
    "GeometricMedian",
    "Krum",
    "Mean",
    "Median",
    "MinimumDiameter",
    "MultiKrum",
    "NearestMixing",
    "PreAggregation",
    "Preceded",
    "Rule",
    "SmallestEigenvalue",
    "TrimmedMean",
    "Trust",
    "TrustedMean",
    "bounded_trust",
    "bounded_trust_dense",
    "build_rule",
    "detect_outliers",
    "trust_weights",
]
