"""Noise or Signal, Figures 3, 4 and 22 to 29: the most adversarial backgrounds, from the matrix of all pairs."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import pandas as pd

from bglab.analysis import fooling_rates, per_class_totals, rate_histogram, top_backgrounds, with_published
from bglab.figures import plot_fooling_rates, plot_images
from bglab.labels import IN9_NAMES
from bglab.papers.artefact import Artefact, Product
from bglab.papers.comparisons import basis_of_trained
from bglab.papers.requirements import scene_of
from bglab.papers.verdicts import SEARCH_SPREAD
from bglab.papers.work import Work, trained_on

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_TOP = 5


def make_top_backgrounds(name: str, reproduction: Reproduction) -> Product:
    """Plot the five backgrounds of a class that have most foregrounds of other classes classified as it."""
    model = reproduction.main_model()
    pairs = reproduction.pairs(model)
    best = top_backgrounds(pairs, k=_TOP)
    best = best.loc[best["class"] == name].reset_index(drop=True)
    totals = per_class_totals(pairs)
    total = totals.loc[totals["class"] == name]
    table = _with_total(best, total)
    limits = zip(100 * best["rate_low"], 100 * best["rate_high"], strict=True)
    plates = reproduction.dataset("only_bg_t", reproduction.size_of(model))
    figure = plot_images(
        [plates[scene].numpy() for scene in best["background"]],
        [f"{100 * rate:.0f} %" for rate in best["rate"]],
        predictions=[f"[{low:.0f}, {high:.0f}]" for low, high in limits],
        columns=_TOP,
    )  # fmt: skip
    printed = PRINTED[name].printed_rows()
    compared = None
    if reproduction.is_trained(model):
        compared = with_published(table, printed, on={"quantity": "quantity"})
        whole = not reproduction.settings.pairs_per_class
        compared = compared.assign(basis=basis_of_trained(reproduction, model) if whole else "other", spread=math.nan)
    shares = {"top1": "share", "top1_low": "share_low", "top1_high": "share_high"}
    shown = table.reindex(columns=["quantity", "background", "n", *shares]).rename(columns=shares)
    shown["quantity"] = [_TITLES[name] for name in shown["quantity"]]
    return Product(
        table, figure, shown=shown, compared=compared,
        notes=(
            reproduction.pairs_note,
            "Each interval is that of a single background; rates of the best of many backgrounds are biased upwards "
            "(selection), and lower on other foregrounds.",
            *((SEARCH_SPREAD,) if compared is not None else ()),
        ),
        models=(reproduction.label(model),),
    )  # fmt: skip


def make_figure_4(reproduction: Reproduction) -> Product:
    """Compute the fooling rate of each insect background and plot their histogram."""
    model = reproduction.main_model()
    rates = fooling_rates(reproduction.pairs(model))
    rates = rates.loc[rates["class"] == "insect"].reset_index(drop=True)
    shown = rate_histogram(reproduction.pairs(model))
    shown = shown.loc[shown["class"] == "insect"].reindex(columns=["low", "high", "count"]).reset_index(drop=True)
    last = int(shown["count"].to_numpy().nonzero()[0].max())
    return Product(
        rates, plot_fooling_rates(rates), shown=shown.iloc[: last + 1],
        notes=(reproduction.pairs_note,), models=(reproduction.label(model),),
    )  # fmt: skip


def _with_total(best: pd.DataFrame, total: pd.DataFrame) -> pd.DataFrame:
    """Combine the fooling rates of single backgrounds and of all backgrounds of the class in one long table."""
    single = pd.DataFrame(
        {"quantity": [f"fooling_rate_{rank}" for rank in best["rank"]], "background": best["background"],
         "class": best["class"], "n": best["n"], "fooled": best["fooled"], "top1": best["rate"],
         "top1_low": best["rate_low"], "top1_high": best["rate_high"]}
    )  # fmt: skip
    whole = pd.DataFrame(
        {"quantity": "fooling_rate_total", "background": "", "class": total["class"], "n": total["n"],
         "fooled": total["fooled"], "top1": total["total"], "top1_low": total["total_low"],
         "top1_high": total["total_high"]}
    )  # fmt: skip
    return pd.concat([single, whole], ignore_index=True)


_TITLES = {f"fooling_rate_{rank}": f"background {rank}" for rank in range(1, _TOP + 1)}
_TITLES |= {"fooling_rate_total": "any background of the class"}
_ALL_PAIRS = (Work("matrix", trained_on("in9l")),)


def _artefact(number: int, name: str, place: str) -> Artefact:
    return Artefact(
        f"nos-figure-{number}", f"The five most adversarial backgrounds: {name}", f"Figure {number}",
        f"The backgrounds of class {name} on which most foregrounds of other classes are classified as {name}: the "
        "fooling rate of each with its interval, and the share of foregrounds fooled by any background of the class.",
        functools.partial(make_top_backgrounds, name), (scene_of(name),), (place,), name, _layout, work=_ALL_PAIRS,
    )  # fmt: skip


def _layout(printed: pd.DataFrame) -> pd.DataFrame:
    """Arrange the published fooling rates like ours: single backgrounds first, the total last."""
    ordered = printed.iloc[[*range(1, len(printed)), 0]]
    return pd.DataFrame({"quantity": [_TITLES[name] for name in ordered["quantity"]], "share": ordered["value"]})


_OTHERS = [name for name in IN9_NAMES if name != "insect"]
#: The figure of each class: Figure 3 for insects, Figures 22 to 29 for the others.
PRINTED = {"insect": _artefact(3, "insect", "nos-figure-3")}
PRINTED |= {name: _artefact(number, name, "nos-figures-22-29") for number, name in enumerate(_OTHERS, start=22)}

ARTEFACTS = (
    *PRINTED.values(),
    Artefact(
        "nos-figure-4", "Fooling rates of single backgrounds", "Figure 4",
        "Histogram of insect backgrounds by fooling rate: the share of foregrounds of other classes that are "
        "classified as insects on it.",
        make_figure_4, (scene_of("insect"),), work=_ALL_PAIRS,
    ),
)  # fmt: skip
