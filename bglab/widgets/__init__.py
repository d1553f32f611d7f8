"""The explorer, the live search and the desk as Jupyter widgets."""

from bglab.widgets.desk import papers
from bglab.widgets.explorer import explore
from bglab.widgets.search import search_live

__all__ = [
    "explore",
    "papers",
    "search_live",
]
