"""Time for a Background Check!, numbers in the text: image counts, other backgrounds, VOC2012 and Caltech101."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bglab.analysis import mean_of_runs, published, with_published
from bglab.figures import plot_accuracy
from bglab.models import BASELINE
from bglab.papers.artefact import Artefact, Product, Requirement
from bglab.papers.background_check.evaluation import SHOWN, evaluate_networks, limits_of_mean, open_full_resolution
from bglab.papers.missing import Missing
from bglab.papers.work import Work, fine_tuned_on, of_imagenet
from bglab.training import BACKGROUNDS, FINE_TUNING, RANDOM, WEIGHTS, check_backgrounds
from bglab.variants import INVARIANCE

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_TOY_EPOCHS = 2
# the paper averages three runs for Caltech101 and states no number of runs for VOC2012
_RUNS = {"voc": 1, "caltech101": 3}
# those of the text that Figures 4 and 5 do not show
_OTHER_BACKGROUNDS = tuple(variant for variant in INVARIANCE if variant not in SHOWN)
_TITLES = {"voc": "VOC2012", "caltech101": "Caltech101"}


@dataclass(frozen=True)
class TextNumbers(Artefact):
    """Numbers in the paper's text, which share the place ``tbc-text`` of `bglab.analysis.published`.

    Attributes:
        train: Training set of the networks whose numbers are used; "" uses numbers without a training set.
        quantities: Names of the quantities to use.
    """

    train: str = ""
    quantities: tuple[str, ...] = ()

    def printed_rows(self) -> pd.DataFrame:
        """Return the published numbers of the training set and quantities."""
        if not self.quantities:
            return published().iloc[:0]
        rows = published("tbc-text")
        chosen = rows["quantity"].isin(self.quantities) & (rows["train"] == self.train)
        return rows.loc[chosen].reset_index(drop=True)


def make_census(reproduction: Reproduction) -> Product:
    """Count the images whose foreground covers a usable share of the area (5 % to 70 % in the paper)."""
    full = open_full_resolution(reproduction)
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
        difference=compared["ours"] - compared["published"],
        inside=compared["ours"] == compared["published"],
        basis="count",
    )
    note = (
        "A foreground is the union of the boxes of the image's class, measured on the original image; both limits "
        "are inclusive. The paper does not say how it counts several boxes."
    )
    return Product(table, shown=table.rename(columns={"pictures": "images"}), compared=compared, notes=(note,))


def make_backgrounds(reproduction: Reproduction) -> Product:
    """Compute the baseline's accuracy on noise and plain colours as backgrounds."""
    baseline = evaluate_networks(reproduction).baseline
    found = evaluate_networks(reproduction, (*SHOWN, *_OTHER_BACKGROUNDS), (baseline,))
    table = found.table.loc[found.table["variant"] != "white_fg"].reset_index(drop=True)
    shown = table.reindex(columns=["variant", "n", "draws", "top1", "top1_low", "top1_high", "top1_drop"])
    return Product(
        table,
        plot_accuracy(table),
        shown=shown.rename(columns={"top1_drop": "drop"}),
        notes=(*found.notes, "Accuracies on random backgrounds are means over the draws."),
        models=(baseline,),
    )


def make_set(name: str, reproduction: Reproduction) -> Product:
    """Fine-tune on VOC2012 or Caltech101 and evaluate on its test images with replaced backgrounds."""
    settings = reproduction.settings
    toy = settings.train == "toy"
    recipe = replace(FINE_TUNING, epochs=_TOY_EPOCHS) if toy else FINE_TUNING
    runs = _RUNS[name]
    predictions = check_backgrounds(
        settings.scenes, results=reproduction.results, networks=reproduction.networks / "networks",
        weights=RANDOM if toy else WEIGHTS, recipe=recipe, runs=runs,
        device=settings.engine.device, batch_size=settings.batch_size, progress=settings.progress,
    )  # fmt: skip
    table = mean_of_runs(predictions)
    # the runs' test sets overlap, so the interval is computed for the number of images of one run
    totals = np.round(table["n"].to_numpy(float) / table["runs"].to_numpy(float)).astype(np.int64)
    low, high = limits_of_mean(table["top1"].to_numpy(float), totals)
    table = table.assign(n=totals, top1_low=low, top1_high=high)
    original = float(table.loc[table["variant"] == "original", "top1"].iloc[0])
    table["drop"] = original - table["top1"]
    printed = published("tbc-text").query("train == @name and quantity == 'accuracy'")
    start = "random weights (--train toy only tests the steps: the accuracies are meaningless)" if toy else WEIGHTS
    return Product(
        table,
        plot_accuracy(table.assign(model=recipe.architecture)),
        shown=table.reindex(columns=["variant", "runs", "n", "top1", "top1_low", "top1_high", "drop"]),
        # neither the training nor the split of Caltech101 is stated, so this is no network of the paper's recipe
        compared=with_published(table, printed, on={"variant": "test"}).assign(basis="other"),
        notes=(
            f"{recipe.architecture}, {recipe.epochs} epochs from {start}; the paper states neither its training recipe "
            "nor whether it replaced the background by box or by mask (here: by box).",
            f"Mean of {runs} run{'s' if runs > 1 else ''}; n is the number of test images of one run.",
        ),
        models=tuple(dict.fromkeys(predictions["model"])),
    )


def scenes_of(name: str) -> Requirement:
    """Require VOC2012 or Caltech101 as scenes, and that training is allowed.

    Args:
        name: ``voc`` or ``caltech101``.
    """
    command = f"bglab reproduce tbc-text-{name} --scenes {name}:PATH --out R"

    def missing(reproduction: Reproduction) -> Missing | None:
        if not reproduction.settings.scenes.startswith(f"{name}:"):
            reason = f"expected {_TITLES[name]} as scenes, to fine-tune networks on, got {reproduction.scenes.name}"
            return Missing("needs data", reason, command)
        if reproduction.settings.train == "none":
            return Missing("needs training", "expected permission to fine-tune ResNet-18, got --train none", command)
        return None

    return Requirement(f"{_TITLES[name]} (--scenes {name}:PATH)", missing)


def artefacts(needs: tuple[Requirement, ...]) -> tuple[Artefact, ...]:
    """List the artefacts for the numbers in the text.

    Args:
        needs: Requirements of those that use the given scenes.
    """
    return (
        TextNumbers(
            "tbc-text-census", "Images whose foreground has a usable size", "Section 3",
            "Number of images whose foreground, the union of the boxes of their class, covers 5 % to 70 % of the area.",
            make_census, needs, ("tbc-text",), quantities=("pictures",),
        ),
        TextNumbers(
            "tbc-text-backgrounds", "Other backgrounds for the baseline", "Section 3",
            "The baseline's accuracy with noise and plain colours outside the foreground's box; the paper describes "
            "the drop as similar and prints no number.",
            make_backgrounds, needs,
            work=tuple(Work("stream", of_imagenet(BASELINE), part, "boxed") for part in (SHOWN, _OTHER_BACKGROUNDS)),
        ),
        _set("voc", "VOC2012's own train and val split, images whose objects are all of one class."),
        _set("caltech101", "30 images per class are drawn for training, the others are the test set; mean of three "
             "runs."),
    )  # fmt: skip


def _set(name: str, split: str) -> TextNumbers:
    make: Callable[[Reproduction], Product] = lambda reproduction: make_set(name, reproduction)  # noqa: E731
    return TextNumbers(
        f"tbc-text-{name}", f"{_TITLES[name]} on other backgrounds", "Section 3",
        f"A ResNet-18 fine-tuned on {_TITLES[name]}, tested with everything outside the foreground's box white or a "
        f"texture. {split}",
        make, (scenes_of(name),), ("tbc-text",), data=name, train=name, quantities=("accuracy",),
        work=(Work("stream", fine_tuned_on(name, _RUNS[name]), BACKGROUNDS, name),),
    )  # fmt: skip
