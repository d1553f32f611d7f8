"""What artefacts may need, as ready-made `artefacts.Need`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.labels import IN9_NAMES
from bglab.papers.artefact import Need
from bglab.papers.missing import Lack

if TYPE_CHECKING:
    from bglab.papers.reproduction import Workbench

_GET_IN9 = "bglab data fetch in9"


def scenes() -> Need:
    """Need scenes labelled with the nine classes."""

    def lack(bench: Workbench) -> Lack | None:
        try:
            space = bench.scenes.space
        except (MissingData, BadInput, UnknownName) as problem:
            return Lack("needs data", str(problem), _GET_IN9)
        if space == "in9":
            return None
        reason = f"expected scenes labelled with the nine classes, got {bench.scenes.name} labelled with {space}"
        return Lack("needs data", reason, _GET_IN9)

    return Need("scenes of the nine classes", lack)


def scene_of(name: str) -> Need:
    """Need a scene of one class.

    Args:
        name: The class.
    """

    def lack(bench: Workbench) -> Lack | None:
        missing = scenes().lack(bench)
        if missing or IN9_NAMES.index(name) in set(bench.scenes.labels.tolist()):
            return missing
        return Lack("needs data", f"{bench.scenes.name} has no scene of the class {name}", _GET_IN9)

    return Need(f"a scene of the class {name}", lack)


def trained(*ids: str, at_least: int = 0) -> Need:
    """Need trained networks.

    Args:
        *ids: Which ones, see `bglab.papers.training_runs`.
        at_least: How many of them suffice; 0 asks for all.
    """
    enough = at_least or len(ids)
    text = ", ".join(ids)

    def lack(bench: Workbench) -> Lack | None:
        there = [name for name in ids if bench.trained.lack_of(name) is None]
        if len(there) >= enough:
            return None
        missing = next(name for name in ids if name not in there)
        return bench.trained.lack_of(missing)

    return Need(f"networks trained on {text}" if enough == len(ids) else f"{enough} networks out of {text}", lack)
