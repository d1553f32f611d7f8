"""Protocols of the adversarial background search: which foregrounds are combined with which backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.seeding import digest, keyed_seed


@dataclass(frozen=True)
class Protocol:
    """Which pairs are evaluated; the defaults are those of the Backgrounds Challenge release (all pairs).

    Attributes:
        own_image: Whether a foreground is combined with the tiled background of its own image.
        own_class: Whether a foreground is combined with backgrounds of its own class.
        pool_classes: Classes whose backgrounds are used; () uses all.
        pool_per_class: Number of backgrounds per class; 0 uses all. The draw depends on scene ids only, not on the
            order of the set.
        foregrounds_per_class: Number of foregrounds per class, drawn in the same way; 0 uses all.
        only_right: Whether foregrounds misclassified on Original are skipped, as in the abstract of Noise or Signal;
            its tables and released code count them.
    """

    own_image: bool = True
    own_class: bool = True
    pool_classes: tuple[int, ...] = ()
    pool_per_class: int = 0
    foregrounds_per_class: int = 0
    only_right: bool = False

    @property
    def key(self) -> str:
        """Suffix for folder names that states every departure from the defaults; "" for the defaults.

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
        """Return a mask of the backgrounds that the protocol uses."""
        in_class = np.isin(labels, self.pool_classes) if self.pool_classes else np.ones(len(ids), dtype=bool)
        return in_class & _draw("pool", ids, labels, self.pool_per_class)


def _draw(purpose: str, ids: Sequence[str], labels: Int[np.ndarray, " n"], per_class: int) -> Bool[np.ndarray, " n"]:
    """Draw ``per_class`` scenes of each class, or all if 0, and return their mask.

    Scenes are drawn rather than taken in order, because neighbouring ids often show similar images.
    """
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
        ids: Scene ids.
        labels: True classes in the set's own label space.
        native_labels: True ImageNet indices, OUTSIDE where unknown.
    """

    ids: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    native_labels: Int[np.ndarray, " n"]

    @property
    def digest(self) -> str:
        """Digest of ids and labels, in order."""
        return digest([f"{scene} {label}" for scene, label in zip(self.ids, self.labels, strict=True)])


def allowed_pairs(protocol: Protocol, foregrounds: Side, backgrounds: Side) -> Bool[np.ndarray, "f b"]:
    """Return a mask of the pairs that a protocol allows, except for ``only_right``, which needs predictions."""
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
    """Convert a protocol to a JSON-compatible dictionary."""
    return {**asdict(protocol), "pool_classes": list(protocol.pool_classes)}


def read_protocol(stored: Mapping[str, Any]) -> Protocol:
    """Read a protocol from what `protocol_provenance` made of it.

    Args:
        stored: Its fields.

    Raises:
        TypeError: If a field is unknown or of another kind.
    """
    usual = protocol_provenance(Protocol())
    for name, value in stored.items():
        if name not in usual or type(value) is not type(usual[name]):
            raise TypeError(f"the protocol {name}={value!r}")
    classes = stored.get("pool_classes", [])
    if not all(type(label) is int for label in classes):
        raise TypeError(f"the protocol pool_classes={classes!r}")
    return Protocol(**{**stored, "pool_classes": tuple(classes)})


#: When a background fools a classifier: ``any`` misclassification (the challenge's released code), or ``targeted``,
#: a prediction of the background's class (the text of Noise or Signal).
Criterion = Literal["any", "targeted"]
CRITERIA: tuple[Criterion, Criterion] = ("any", "targeted")


def succeeds(
    criterion: Criterion,
    predictions: Int[np.ndarray, "*#n"],
    own: Int[np.ndarray, "*#n"],
    other: Int[np.ndarray, "*#n"],
) -> Bool[np.ndarray, "*n"]:
    """Check which predictions meet a criterion; the arrays are broadcast against each other.

    Args:
        criterion: ``any`` or ``targeted``.
        predictions: Predicted labels, or OUTSIDE.
        own: Labels of the foregrounds.
        other: Labels of the backgrounds, or OUTSIDE.

    Raises:
        BadInput: If there is no such criterion.

    Example:
        >>> succeeds("targeted", np.array([1, 1, -1]), np.array([0, 1, 0]), np.array([1, 1, -1])).tolist()
        [True, False, False]
    """
    if criterion == "any":
        return predictions != own
    if criterion == "targeted":
        return (predictions == other) & (own != other) & (other != OUTSIDE)
    raise BadInput(f"expected the criterion any or targeted, got '{criterion}'")
