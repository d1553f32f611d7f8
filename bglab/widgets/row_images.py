"""The images behind rows of a prediction table, rendered from scene, variant and donor, and why some have none."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image

from bglab.analysis import RowIndex
from bglab.errors import EXPECTED_ERRORS
from bglab.images import from_levels, to_levels
from bglab.labels import OUTSIDE
from bglab.names import split_draw
from bglab.variants import VARIANTS, Dataset, SceneBatch, Variant, object_region, open_published, render
from bglab.widgets.rendering import Rendered
from bglab.widgets.session import Session
from bglab.widgets.stages import one_thread
from bglab.widgets.state import State

#: Thumbnails that are kept: 110 MB of 96 pixels.
_KEPT = 4096
_SEED = re.compile(r"-seed(\d+)(?:-|$)")
_SIZE = re.compile(r"-(\d+)px(?:-|$)")
_PUBLISHED = re.compile(r"-published(?:-|$)")
#: Part of the keys of data sets whose variants were made at full resolution.
_FULL = re.compile(r"-full-")


class Missing(NamedTuple):
    """Rows of a selection that have no image, for one reason.

    Attributes:
        reason: Why, in words that follow "rows".
        rows: Number of rows.
        example: Scene of the first of them.
    """

    reason: str
    rows: int
    example: str


def prepared_size(keys: Sequence[str]) -> int:
    """Read the side of the prepared images in pixels off the keys of data sets; that of the first if they differ.

    Example:
        >>> prepared_size(["in9-abcdef", "in9-abcdef-96px"]), prepared_size(["in9-abcdef-96px-seed2"])
        (224, 96)
    """
    found = _SIZE.search(keys[0]) if keys else None
    return int(found[1]) if found else 224


class RowImages:
    """Renders the images of rows by the rules that made them.

    A background of another scene is that of the row's column ``donor``. Noise and textures are drawn with the seed in
    the key of the data set. Images that were published with a release are read from it.

    Args:
        index: The rows.
        session: Scenes; None if there are none, and no row has an image.
        variants: Variants of your own by name.

    Attributes:
        reasons: Why rows have no image, in words that follow "rows".
        missing: For each row its position in ``reasons``, or -1 if it has an image.
    """

    def __init__(self, index: RowIndex, session: Session | None, variants: Mapping[str, Variant]) -> None:
        self.reasons: list[str] = []
        self.missing = np.full(len(index), -1, dtype=np.int16)
        self._index, self._session = index, session
        self._variants = {**VARIANTS, **variants}
        self._thumbnails: OrderedDict[int, UInt8[np.ndarray, "3 t t"]] = OrderedDict()
        self._published: dict[str, tuple[Dataset, dict[str, int]]] = {}
        self._rendering = threading.RLock()
        self.scenes = index.table["scene"].to_numpy(object)
        self.donors = index.table["donor"].to_numpy(object)
        self._find_missing()

    @property
    def count(self) -> int:
        """Number of rows of the table that have an image."""
        return int((self.missing < 0).sum())

    def variant(self, row: int) -> Variant:
        """Return the variant of a row."""
        return self._variants[self._name(row, "variant")]

    def without_image(self, rows: Int[np.ndarray, " k"]) -> list[Missing]:
        """Count the rows that have no image, by reason."""
        missing = self.missing[rows]
        return [
            Missing(self.reasons[code], int(found.size), str(self.scenes[rows[found[0]]]))
            for code in np.unique(missing[missing >= 0])
            for found in [np.flatnonzero(missing == code)]
        ]

    def thumbnails(
        self, rows: Sequence[int], side: int, pause: Callable[[], object] = lambda: None
    ) -> list[UInt8[np.ndarray, "3 t t"] | None]:
        """Return small images of rows; None for those without one, among which are those that fail now.

        Args:
            rows: Positions of the rows.
            side: Side of the thumbnails in pixels.
            pause: Called between images; it returns when the next may be made.
        """
        with self._rendering, one_thread():
            wanted = [row for row in rows if self.missing[row] < 0 and row not in self._thumbnails]
            groups: dict[tuple[str, str], list[int]] = {}
            for row in wanted:
                groups.setdefault((self._name(row, "dataset"), self._name(row, "variant")), []).append(row)
            for group in groups.values():
                pause()
                for row, levels in zip(group, self._render_or_miss(group), strict=True):
                    pause()
                    if levels is not None:
                        self._keep(row, _small(levels, side))
            return [self._thumbnails.get(row) for row in rows]

    def rendered(self, row: int) -> Rendered:
        """Return the image of a row, where the object is in it, and the class of the donor.

        Raises:
            BadInput: If it has none.
        """
        assert self._session is not None
        with self._rendering:
            image = self._render([row])
        images, scene, donor = self._session.images, str(self.scenes[row]), str(self.donors[row])
        is_other = donor not in {"", scene} and donor in images.scenes.positions
        region = object_region(self.variant(row), images.batch(scene))
        return Rendered(image, region, images.label(donor) if is_other else OUTSIDE)

    def state(self, row: int) -> State:
        """Return the explorer's state that shows the image of a row."""
        variant, scene, donor = self.variant(row), str(self.scenes[row]), str(self.donors[row])
        if variant.is_untouched:
            return State(scene)
        lends = variant.donor not in {"none", "self"}
        return State(scene, f"scene:{donor}" if lends else f"variant:{variant.name}")

    def is_drawn_alike(self, row: int) -> bool:
        """Return whether the explorer draws the noise and textures of a row with the same seed."""
        return self._session is not None and self._seed(row) == self._session.seed

    def is_published(self, row: int) -> bool:
        """Return whether the image of a row was published with a release."""
        return bool(_PUBLISHED.search(self._name(row, "dataset")))

    @property
    def full_resolution(self) -> np.ndarray:
        """Whether each row was classified at full resolution, while its image here is made from a prepared one."""
        keys = self._index.values["dataset"]
        return np.array([bool(_FULL.search(key)) for key in keys])[self._index.codes("dataset")]

    def _name(self, row: int, column: str) -> str:
        return self._index.values[column][self._index.codes(column)[row]]

    def _seed(self, row: int) -> int:
        found = _SEED.search(self._name(row, "dataset"))
        return int(found[1]) if found else 0

    def _find_missing(self) -> None:
        """Find the rows that cannot have an image, as far as that is known without rendering it."""
        if self._session is None:
            self._miss(np.ones(len(self._index), dtype=bool), "have no image, since no scenes were given")
            return
        scenes = self._session.images.scenes
        known = np.array([name in scenes.positions for name in self._index.values["scene"]])
        self._miss(~known[self._index.codes("scene")], f"are of scenes that {scenes.name} does not have")
        for code, name in enumerate(self._index.values["variant"]):
            inside = self._index.codes("variant") == code
            variant = self._variants.get(name)
            if variant is None:
                what = "is made at full resolution only" if split_draw(name)[0] in VARIANTS else "is none of bglab's"
                self._miss(inside, f"are on {name}, which {what}; give it with variants=…")
            elif variant.donor not in {"none", "self"}:
                lent = np.array([donor in scenes.positions for donor in self.donors[inside]], dtype=bool)
                places = np.flatnonzero(inside)[~lent]
                unknown = np.zeros(len(inside), dtype=bool)
                unknown[places] = True
                self._miss(unknown & ~self._published_rows, f"on {name} name no donor that is among the scenes")

    @property
    def _published_rows(self) -> np.ndarray:
        keys = self._index.values["dataset"]
        return np.array([bool(_PUBLISHED.search(key)) for key in keys])[self._index.codes("dataset")]

    def _miss(self, rows: np.ndarray, reason: str) -> None:
        """Note that rows have no image; the first reason of a row counts."""
        new = rows & (self.missing < 0)
        if new.any():
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.missing[new] = self.reasons.index(reason)

    def _render_or_miss(self, rows: list[int]) -> list[UInt8[np.ndarray, "3 h w"] | None]:
        """Render rows of one variant and data set together, or one by one if one of them fails."""
        try:
            return list(self._render(rows).numpy())
        except EXPECTED_ERRORS as problem:
            if len(rows) == 1:
                place = np.zeros(len(self._index), dtype=bool)
                place[rows[0]] = True
                self._miss(place, f"cannot be rendered: {problem}")
                return [None]
        return [levels for row in rows for levels in self._render_or_miss([row])]

    def _render(self, rows: list[int]) -> UInt8[torch.Tensor, "n 3 h w"]:
        """Render rows of one variant and data set."""
        if self.is_published(rows[0]):
            dataset, places = self._open_published(self._name(rows[0], "variant"))
            return dataset.images([places[str(self.scenes[row])] for row in rows], "cpu")
        variant = self.variant(rows[0])
        own = self._batch([str(self.scenes[row]) for row in rows])
        if variant.donor == "none":
            return render(variant, own, seed=self._seed(rows[0]))
        donors = own if variant.donor == "self" else self._batch([str(self.donors[row]) for row in rows], lends=True)
        return render(variant, own, donors, seed=self._seed(rows[0]))

    def _batch(self, names: Sequence[str], *, lends: bool = False) -> SceneBatch:
        """Put scenes together."""
        assert self._session is not None
        images = self._session.images
        if lends:
            for name in names:
                images.check_lends(name)
        parts = [images.batch(name) for name in names]
        if len(parts) == 1:
            return parts[0]
        joined = {part: torch.cat([getattr(each, part) for each in parts]) for part in _PARTS}
        return SceneBatch(tuple(names), **joined)

    def _open_published(self, variant: str) -> tuple[Dataset, dict[str, int]]:
        if variant not in self._published:
            assert self._session is not None
            images = self._session.images
            dataset = open_published(images.scenes, variant, size=images.size, progress=False)
            self._published[variant] = dataset, {row.scene: i for i, row in enumerate(dataset.rows)}
        return self._published[variant]

    def _keep(self, row: int, levels: UInt8[np.ndarray, "3 t t"]) -> None:
        self._thumbnails[row] = levels
        if len(self._thumbnails) > _KEPT:
            self._thumbnails.popitem(last=False)


_PARTS = ("images", "masks", "plates", "boxes")


def _small(levels: UInt8[np.ndarray, "3 h w"], side: int) -> UInt8[np.ndarray, "3 t t"]:
    small = from_levels(levels).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return to_levels(small)
