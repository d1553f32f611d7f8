"""The catalogue of Noise or Signal: Tables 1 to 5, Figures 1 to 30, and the README's two tables."""

from __future__ import annotations

from bglab.papers.artefact import Artefact
from bglab.papers.noise_or_signal import adversarial, images, models, tables, training


def _place(artefact: Artefact) -> tuple[int, int]:
    """Return a sort key: tables, then figures, then the README's tables, each by number."""
    kind, _, number = artefact.id.removeprefix("nos-").partition("-")
    return ["table", "figure", "readme"].index(kind), int(number) if number.isdigit() else 0


#: Every artefact, in the paper's order.
ARTEFACTS: tuple[Artefact, ...] = tuple(
    sorted(
        (*tables.ARTEFACTS, *images.ARTEFACTS, *models.ARTEFACTS, *training.ARTEFACTS,
         *adversarial.ARTEFACTS),
        key=_place,
    )
)  # fmt: skip
