"""The requirements that artefacts share: test scenes, scenes of one class, trained networks."""

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
    """Require test scenes labelled with the nine classes of ImageNet-9."""

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
    """Require at least one test scene of a class.

    Args:
        name: Name of the class, one of the nine.
    """

    def missing(reproduction: Reproduction) -> Missing | None:
        missing = scenes().missing(reproduction)
        if missing or IN9_NAMES.index(name) in set(reproduction.scenes.labels.tolist()):
            return missing
        return Missing("needs data", f"{reproduction.scenes.name} has no scene of the class {name}", _GET_IN9)

    return Requirement(f"a scene of the class {name}", missing)


def trained(*ids: str, at_least: int = 0) -> Requirement:
    """Require trained networks that are available or can be trained.

    Args:
        *ids: Names of the networks in `bglab.papers.training_runs`.
        at_least: Number of networks that suffices; 0 requires all.
    """
    enough = at_least or len(ids)
    text = ", ".join(ids)

    def missing(reproduction: Reproduction) -> Missing | None:
        available = [name for name in ids if reproduction.trained.why_missing(name) is None]
        if len(available) >= enough:
            return None
        first = next(name for name in ids if name not in available)
        return reproduction.trained.why_missing(first)

    return Requirement(
        f"networks trained on {text}" if enough == len(ids) else f"{enough} networks out of {text}", missing
    )
