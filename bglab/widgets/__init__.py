"""The explorer, the live search and the browser of predictions as Jupyter widgets."""

from bglab.widgets.browse import browse
from bglab.widgets.explorer import explore
from bglab.widgets.search import search_live

__all__ = [
    "browse",
    "explore",
    "search_live",
]
