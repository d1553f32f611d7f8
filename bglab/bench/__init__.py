"""Benchmark of search and saliency: each contender is timed between two runs of its baseline."""

from bglab.bench.contenders import plan_for
from bglab.bench.measure import Measurement, Ratio, Report, measure

__all__ = [
    "Measurement",
    "Ratio",
    "Report",
    "measure",
    "plan_for",
]
