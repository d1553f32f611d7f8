"""Time for a Background Check!, numbers of its text: how many images, other backgrounds, VOC2012 and Caltech101."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bglab.analysis import mean_of_runs, published, with_published
from bglab.figures import plot_accuracy
from bglab.papers.artefact import Artefact, Product, Requirement
from bglab.papers.background_check.answers import SHOWN, answers, limits_of_mean, opened
from bglab.papers.missing import Missing
from bglab.training import FINE_TUNING, RANDOM, WEIGHTS, check_backgrounds
from bglab.variants import INVARIANCE

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_TOY_EPOCHS = 2
# the paper averages three runs for Caltech101 and says nothing of VOC2012
_RUNS = {"voc": 1, "caltech101": 3}
_TITLES = {"voc": "VOC2012", "caltech101": "Caltech101"}


@dataclass(frozen=True)
class TextNumbers(Artefact):
    """Numbers that stand in the text, which share one place of `bglab.analysis.published`.

    Attributes:
        train: Only the numbers of networks trained on this set; "" takes those that speak of no training.
        quantities: Only these quantities.
    """

    train: str = ""
    quantities: tuple[str, ...] = ()

    def printed_rows(self) -> pd.DataFrame:
        """Give the printed numbers of this set."""
        if not self.quantities:
            return published().iloc[:0]
        rows = published("tbc-text")
        chosen = rows["quantity"].isin(self.quantities) & (rows["train"] == self.train)
        return rows.loc[chosen].reset_index(drop=True)


def make_census(reproduction: Reproduction) -> Product:
    """Count the images whose foreground has a usable size."""
    full = opened(reproduction)
    census, settings = full.census, full.settings
    names = ("images of the set", f"foreground of {settings.smallest:.0%} to {settings.largest:.0%}", "smaller",
             "larger", "unusable")  # fmt: skip
    counts = (census.total, len(census.ids), census.smaller, census.larger, len(census.rejected))
    table = pd.DataFrame({"foregrounds": names, "pictures": counts})
    printed = published("tbc-text").query("quantity == 'pictures'").sort_values("value", ascending=False)
    compared = pd.DataFrame(
        {"foregrounds": names[:2], "ours": counts[:2], "published": printed["value"].astype(int).tolist()}
    )
    compared = compared.assign(
        difference=compared["ours"] - compared["published"], inside=compared["ours"] == compared["published"]
    )
    note = (
        "A foreground is the union of the boxes of the image's class, measured on the original image; both limits "
        "are kept. The paper does not say how it counts several boxes."
    )
    return Product(table, compared=compared, notes=(note,))


def make_backgrounds(reproduction: Reproduction) -> Product:
    """Put the baseline's objects on noise and plain colours too."""
    baseline = answers(reproduction).baseline
    found = answers(reproduction, (*SHOWN, *(v for v in INVARIANCE if v not in SHOWN)), (baseline,))
    table = found.table.loc[found.table["variant"] != "white_fg"].reset_index(drop=True)
    shown = table.reindex(columns=["variant", "n", "draws", "top1", "top1_low", "top1_high", "top1_drop"])
    return Product(
        table,
        plot_accuracy(table),
        shown=shown.rename(columns={"top1_drop": "drop"}),
        notes=(*found.notes, "Random backgrounds are means over their draws."),
        models=(baseline,),
    )


def make_set(name: str, reproduction: Reproduction) -> Product:
    """Fine-tune on a set and change its test images' backgrounds."""
    settings = reproduction.settings
    toy = settings.train == "toy"
    recipe = replace(FINE_TUNING, epochs=_TOY_EPOCHS) if toy else FINE_TUNING
    runs = _RUNS[name]
    predictions = check_backgrounds(
        settings.scenes, results=reproduction.results, weights=RANDOM if toy else WEIGHTS, recipe=recipe, runs=runs,
        device=settings.device, batch_size=settings.batch_size, progress=settings.progress,
    )  # fmt: skip
    table = mean_of_runs(predictions)
    # runs are tested on images that overlap: the mean stands for as many as one run has
    totals = np.round(table["n"].to_numpy(float) / table["runs"].to_numpy(float)).astype(np.int64)
    low, high = limits_of_mean(table["top1"].to_numpy(float), totals)
    table = table.assign(n=totals, top1_low=low, top1_high=high)
    original = float(table.loc[table["variant"] == "original", "top1"].iloc[0])
    table["drop"] = original - table["top1"]
    printed = published("tbc-text").query("train == @name and quantity == 'accuracy'")
    start = "fresh weights, for two epochs, to try the steps: the numbers say nothing" if toy else WEIGHTS
    return Product(
        table,
        plot_accuracy(table.assign(model=recipe.architecture)),
        shown=table.reindex(columns=["variant", "runs", "n", "top1", "top1_low", "top1_high", "drop"]),
        compared=with_published(table, printed, on={"variant": "test"}),
        notes=(
            f"{recipe.architecture}, {recipe.epochs} epochs from {start}; the paper does not say how it trained, nor "
            "whether boxes or masks were replaced (boxes here).",
            f"Mean of {runs} run{'s' if runs > 1 else ''}; n counts the images of one.",
        ),
        models=tuple(dict.fromkeys(predictions["model"])),
    )


def scenes_of(name: str) -> Requirement:
    """Requirement a set to fine-tune on, and leave to train.

    Args:
        name: ``voc`` or ``caltech101``.
    """
    command = f"bglab reproduce tbc-text-{name} --scenes {name}:PATH --out R"

    def missing(reproduction: Reproduction) -> Missing | None:
        if not reproduction.settings.scenes.startswith(f"{name}:"):
            reason = (
                f"expected {_TITLES[name]} as scenes, which networks are fine-tuned on, got {reproduction.scenes.name}"
            )
            return Missing("needs data", reason, command)
        if reproduction.settings.train == "none":
            return Missing("needs training", "expected leave to fine-tune ResNet-18, got --train none", command)
        return None

    return Requirement(f"{_TITLES[name]} (--scenes {name}:PATH)", missing)


def artefacts(needs: tuple[Requirement, ...]) -> tuple[Artefact, ...]:
    """List the numbers of the text.

    Args:
        needs: What those on the given scenes need.
    """
    return (
        TextNumbers(
            "tbc-text-census", "Images whose foreground has a usable size", "Section 3",
            "How many images of the set have a foreground, the union of the boxes of their class, of 5 % to 70 % of "
            "the area.",
            make_census, needs, ("tbc-text",), quantities=("pictures",),
        ),
        TextNumbers(
            "tbc-text-backgrounds", "Other backgrounds for the baseline", "Section 3",
            "The baseline's accuracy with noise and plain colours outside the foreground's box; the paper calls the "
            "drop similar and prints no number.",
            make_backgrounds, needs,
        ),
        _set("voc", "VOC2012's own split into train and val, images whose objects are of one class."),
        _set("caltech101", "30 images of each class drawn for training, the others tested; mean of three runs."),
    )  # fmt: skip


def _set(name: str, split: str) -> TextNumbers:
    make: Callable[[Reproduction], Product] = lambda reproduction: make_set(name, reproduction)  # noqa: E731
    return TextNumbers(
        f"tbc-text-{name}", f"{_TITLES[name]} on other backgrounds", "Section 3",
        f"A fine-tuned ResNet-18 on {_TITLES[name]} with everything outside the foreground's box white or a texture. "
        f"{split}",
        make, (scenes_of(name),), ("tbc-text",), train=name, quantities=("accuracy",),
    )  # fmt: skip
