"""Vulnerability to adversarial backgrounds next to the numbers that the paper prints."""

from __future__ import annotations

import pandas as pd

from bglab.analysis import Estimate, published, vulnerability
from bglab.figures import one_line_names
from bglab.results import PairPredictions

# our quantity, as people read it, and where the papers print it under which name
_PRINTED = (
    ("challenge_accuracy", "Challenge accuracy: fooled by no background", "nos-challenge", "challenge_accuracy"),
    ("vulnerable_targeted", "Vulnerable: taken for the class of some background", "nos-text", "vulnerable"),
)


def vulnerability_with_published(pairs: PairPredictions) -> pd.DataFrame:
    """Lay both definitions of being fooled out beside what is printed of ResNet-50.

    Challenge accuracy is the release's leaderboard: no background brings about any error. The paper's text counts a
    foreground as vulnerable if it is taken for the class of some background, which is another than its own.

    Returns:
        Two rows, named by ``quantity``; a column of `bglab.analysis.Estimate` for the model of ``pairs`` and two of
        printed numbers, NaN where there is none.
    """
    (ours,) = vulnerability(pairs).to_dict("records")
    rows = []
    for name, _, place, printed in _PRINTED:
        known = published(place)
        known = known.loc[(known["quantity"] == printed) & (known["model"] == "ResNet-50")]
        # the abstract rounds what the text prints: the first is the sharper one
        values = known.drop_duplicates("train").set_index("train")["value"].reindex(["imagenet", "in9l"])
        rows.append((Estimate(ours[name], ours[f"{name}_low"], ours[f"{name}_high"]), *values))
    networks = [*one_line_names([pairs.model]), "printed: ResNet-50, ImageNet", "printed: ResNet-50, IN-9L"]
    return pd.DataFrame(
        rows,
        index=pd.Index([title for _, title, _, _ in _PRINTED], name="quantity"),
        columns=pd.Index(networks, name="network"),
    )


def printed_totals() -> pd.DataFrame:
    """Give the printed share of other-class foregrounds that any background of a class fools, class by class."""
    table = pd.concat([published("nos-figure-3"), published("nos-figures-22-29")])
    return table.loc[table["quantity"] == "fooling_rate_total"].reset_index(drop=True)
