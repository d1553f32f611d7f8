"""Tables and figures of Time for a Background Check! (Sehwag, Oak, Chiang, Mittal, 2020; arXiv 2006.14077)."""

from bglab.papers.background_check.catalogue import ARTEFACTS
from bglab.papers.background_check.evaluation import with_top5_limits

__all__ = [
    "ARTEFACTS",
    "with_top5_limits",
]
