"""The two papers, and the catalogue of their tables and figures."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bglab.catalogue import Catalogue

if TYPE_CHECKING:
    from bglab.papers.artefact import Artefact

#: Short name of each paper → the package in `bglab.papers` that lists its artefacts.
PAPERS: Catalogue[str] = Catalogue("paper", {"nos": "noise_or_signal", "tbc": "background_check"})


def catalogue(papers: Sequence[str] = ()) -> Catalogue[Artefact]:
    """List the artefacts of papers by id, in the papers' order.

    Args:
        papers: Short names out of `PAPERS`; () lists all papers.

    Raises:
        UnknownName: If a paper is not in `PAPERS`.

    Example:
        >>> catalogue(["nos"])["nos-table-2"].title
        'Accuracy and BG-Gap of many models'
    """
    return Catalogue("artefact", {artefact.id: artefact for name in papers or PAPERS for artefact in _listed(name)})


def _listed(paper: str) -> Iterator[Artefact]:
    yield from importlib.import_module(f"bglab.papers.{PAPERS[paper]}").ARTEFACTS
