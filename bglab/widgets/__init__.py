"""The explorer, the live search, the browser of predictions and the desk as Jupyter widgets."""

from bglab.widgets.browse import browse
from bglab.widgets.desk import papers
from bglab.widgets.explorer import explore
from bglab.widgets.search import search_live

__all__ = [
    "browse",
    "explore",
    "papers",
    "search_live",
]
