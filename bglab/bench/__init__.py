"""Benchmark of search and saliency: each contender is timed between two runs of its baseline."""

from bglab.bench.contenders import plan_for
from bglab.bench.measure import measure
from bglab.bench.report import Measurement, Quantity, Ratio, Report

__all__ = [
    "Measurement",
    "Quantity",
    "Ratio",
    "Report",
    "measure",
    "plan_for",
]
