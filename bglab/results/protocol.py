"""Which foregrounds are tried on which backgrounds: the reference's challenge, and its named departures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.seeding import keyed_seed


@dataclass(frozen=True)
class Protocol:
    """Which pairs count; the defaults are the reference's challenge (every background, every foreground).

    Attributes:
        own_image: Try a foreground on the tiled background of its own image too.
        own_class: Try a foreground on backgrounds of its own class too.
        pool_classes: Classes whose backgrounds are tried; () takes all.
        pool_per_class: Try so many backgrounds of each class; 0 takes all. The draw goes by scene id alone, so that
            it is the same in any order of the set.
        foregrounds_per_class: Try so many foregrounds of each class, drawn likewise; 0 takes all.
        only_right: Leave out foregrounds that the classifier gets wrong on Original (the abstract of Noise or
            Signal; its tables and the reference code count them).
    """

    own_image: bool = True
    own_class: bool = True
    pool_classes: tuple[int, ...] = ()
    pool_per_class: int = 0
    foregrounds_per_class: int = 0
    only_right: bool = False

    @property
    def key(self) -> str:
        """Name what departs from the defaults, for folder names; "" if nothing does.

        Example:
            >>> Protocol(own_class=False, pool_per_class=10).key
            'no-own-class-10-a-class'
        """
        parts = [
            "" if self.own_image else "no-own-image",
            "" if self.own_class else "no-own-class",
            "of-" + "-".join(map(str, self.pool_classes)) if self.pool_classes else "",
            f"{self.pool_per_class}-a-class" if self.pool_per_class else "",
            f"{self.foregrounds_per_class}-foregrounds" if self.foregrounds_per_class else "",
            "only-right" if self.only_right else "",
        ]
        return "-".join(part for part in parts if part)

    def in_pool(self, ids: Sequence[str], labels: Int[np.ndarray, " b"]) -> Bool[np.ndarray, " b"]:
        """Mark the backgrounds that are tried at all."""
        kept = np.isin(labels, self.pool_classes) if self.pool_classes else np.ones(len(ids), dtype=bool)
        return kept & _draw("pool", ids, labels, self.pool_per_class)


def _draw(purpose: str, ids: Sequence[str], labels: Int[np.ndarray, " n"], per_class: int) -> Bool[np.ndarray, " n"]:
    """Mark so many scenes of each class, all if 0; the first ones would be images of one kind in most sets."""
    if not per_class:
        return np.ones(len(ids), dtype=bool)
    drawn = np.zeros(len(ids), dtype=bool)
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: keyed_seed(0, purpose, ids[i]))
        drawn[members[:per_class]] = True
    return drawn


class Side(NamedTuple):
    """The foregrounds (rows) or backgrounds (columns) of a matrix.

    Attributes:
        ids: Their scenes.
        labels: Classes in the set's own label space.
        native_labels: ImageNet indices, or OUTSIDE where unknown.
    """

    ids: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    native_labels: Int[np.ndarray, " n"]


def allowed_pairs(protocol: Protocol, foregrounds: Side, backgrounds: Side) -> Bool[np.ndarray, "f b"]:
    """Mark the pairs that a protocol tries, as far as that can be said without a classifier."""
    allowed = np.empty((len(foregrounds.ids), len(backgrounds.ids)), dtype=bool)
    allowed[:] = protocol.in_pool(backgrounds.ids, backgrounds.labels)
    allowed[~_draw("foregrounds", foregrounds.ids, foregrounds.labels, protocol.foregrounds_per_class)] = False
    if not protocol.own_class:
        allowed &= foregrounds.labels[:, None] != backgrounds.labels
    if not protocol.own_image:
        column = {scene: i for i, scene in enumerate(backgrounds.ids)}
        own = np.array([column.get(scene, -1) for scene in foregrounds.ids])
        rows = np.flatnonzero(own >= 0)
        allowed[rows, own[rows]] = False
    return allowed


def protocol_provenance(protocol: Protocol) -> dict[str, Any]:
    """Write a protocol as json keeps it."""
    return {**asdict(protocol), "pool_classes": list(protocol.pool_classes)}


#: ``any`` error at all (the release's challenge), or ``targeted``: taken for the background's class (the paper's text).
Criterion = Literal["any", "targeted"]
CRITERIA: tuple[Criterion, Criterion] = ("any", "targeted")


def succeeds(
    criterion: Criterion, answers: Int[np.ndarray, "*#n"], own: Int[np.ndarray, "*#n"], other: Int[np.ndarray, "*#n"]
) -> Bool[np.ndarray, "*n"]:
    """Check whether predictions for foregrounds of class ``own`` on backgrounds of class ``other`` meet a criterion.

    Example:
        >>> succeeds("targeted", np.array([1, 1, -1]), np.array([0, 1, 0]), np.array([1, 1, -1])).tolist()
        [True, False, False]
    """
    if criterion == "any":
        return answers != own
    if criterion == "targeted":
        return (answers == other) & (own != other) & (other != OUTSIDE)
    raise BadInput(f"expected the criterion any or targeted, got '{criterion}'")
