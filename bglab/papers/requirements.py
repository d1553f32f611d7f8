"""What artefacts may need, as ready-made `artefacts.Requirement`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.labels import IN9_NAMES
from bglab.papers.artefact import Requirement
from bglab.papers.missing import Missing

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_GET_IN9 = "bglab data fetch in9"


def scenes() -> Requirement:
    """Requirement scenes labelled with the nine classes."""

    def missing(reproduction: Reproduction) -> Missing | None:
        try:
            space = reproduction.scenes.space
        except (MissingData, BadInput, UnknownName) as problem:
            return Missing("needs data", str(problem), _GET_IN9)
        if space == "in9":
            return None
        reason = f"expected scenes labelled with the nine classes, got {reproduction.scenes.name} labelled with {space}"
        return Missing("needs data", reason, _GET_IN9)

    return Requirement("scenes of the nine classes", missing)


def scene_of(name: str) -> Requirement:
    """Requirement a scene of one class.

    Args:
        name: The class.
    """

    def missing(reproduction: Reproduction) -> Missing | None:
        missing = scenes().missing(reproduction)
        if missing or IN9_NAMES.index(name) in set(reproduction.scenes.labels.tolist()):
            return missing
        return Missing("needs data", f"{reproduction.scenes.name} has no scene of the class {name}", _GET_IN9)

    return Requirement(f"a scene of the class {name}", missing)


def trained(*ids: str, at_least: int = 0) -> Requirement:
    """Requirement trained networks.

    Args:
        *ids: Which ones, see `bglab.papers.training_runs`.
        at_least: How many of them suffice; 0 asks for all.
    """
    enough = at_least or len(ids)
    text = ", ".join(ids)

    def missing(reproduction: Reproduction) -> Missing | None:
        there = [name for name in ids if reproduction.trained.why_missing(name) is None]
        if len(there) >= enough:
            return None
        missing = next(name for name in ids if name not in there)
        return reproduction.trained.why_missing(missing)

    return Requirement(
        f"networks trained on {text}" if enough == len(ids) else f"{enough} networks out of {text}", missing
    )
