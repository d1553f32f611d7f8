"""The explorer and the live search as Jupyter widgets."""

from bglab.widgets.explorer import explore
from bglab.widgets.search import search_live

__all__ = [
    "explore",
    "search_live",
]
