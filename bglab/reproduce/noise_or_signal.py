"""The catalogue of Noise or Signal: Tables 1 to 5, Figures 1 to 30, and the README's two tables."""

from __future__ import annotations

from bglab.reproduce import nos_adversarial, nos_models, nos_pictures, nos_tables, nos_training
from bglab.reproduce.artefacts import Artefact


def _place(artefact: Artefact) -> tuple[int, int]:
    """Order tables before figures before the README, each by number."""
    kind, _, number = artefact.id.removeprefix("nos-").partition("-")
    return ["table", "figure", "readme"].index(kind), int(number) if number.isdigit() else 0


#: Every artefact, in the paper's order.
ARTEFACTS: tuple[Artefact, ...] = tuple(
    sorted(
        (*nos_tables.ARTEFACTS, *nos_pictures.ARTEFACTS, *nos_models.ARTEFACTS, *nos_training.ARTEFACTS,
         *nos_adversarial.ARTEFACTS),
        key=_place,
    )
)  # fmt: skip
