"""Tables and figures of Noise or Signal (Xiao, Engstrom, Ilyas, Madry, ICLR 2021; arXiv 2006.09994)."""

from bglab.papers.noise_or_signal.catalogue import ARTEFACTS
from bglab.papers.noise_or_signal.printed_search import printed_totals, vulnerability_with_published

__all__ = [
    "ARTEFACTS",
    "printed_totals",
    "vulnerability_with_published",
]
