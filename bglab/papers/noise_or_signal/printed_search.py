"""Vulnerability to adversarial backgrounds next to the published numbers."""

from __future__ import annotations

import pandas as pd

from bglab.analysis import Estimate, published, vulnerability
from bglab.figures import one_line_names
from bglab.results import PairPredictions

# column of `vulnerability`, title, and place and name of the published quantity
_PRINTED = (
    ("challenge_accuracy", "Challenge accuracy: fooled by no background", "nos-challenge", "challenge_accuracy"),
    ("vulnerable_targeted", "Vulnerable: taken for the class of some background", "nos-text", "vulnerable"),
)


def vulnerability_with_published(pairs: PairPredictions) -> pd.DataFrame:
    """Compare a model's vulnerability, by both published definitions, with the published numbers of ResNet-50.

    Challenge accuracy, the metric of the release's leaderboard, is the share of foregrounds that are classified
    correctly on every background. The paper's text counts a foreground as vulnerable if it is classified as the class
    of some background of another class.

    Args:
        pairs: Predictions for all pairs of foreground and background.

    Returns:
        Two rows, named by ``quantity``; a column of `bglab.analysis.Estimate` for the model of ``pairs`` and two of
        published numbers, NaN where the paper prints none.
    """
    (ours,) = vulnerability(pairs).to_dict("records")
    rows = []
    for name, _, place, printed in _PRINTED:
        known = published(place)
        known = known.loc[(known["quantity"] == printed) & (known["model"] == "ResNet-50")]
        # the abstract rounds the number of the text, which comes first
        values = known.drop_duplicates("train").set_index("train")["value"].reindex(["imagenet", "in9l"])
        rows.append((Estimate(ours[name], ours[f"{name}_low"], ours[f"{name}_high"]), *values))
    networks = [*one_line_names([pairs.model]), "printed: ResNet-50, ImageNet", "printed: ResNet-50, IN-9L"]
    return pd.DataFrame(
        rows,
        index=pd.Index([title for _, title, _, _ in _PRINTED], name="quantity"),
        columns=pd.Index(networks, name="network"),
    )


def printed_totals() -> pd.DataFrame:
    """Return the published share of other-class foregrounds fooled by any background of a class, one row per class."""
    table = pd.concat([published("nos-figure-3"), published("nos-figures-22-29")])
    return table.loc[table["quantity"] == "fooling_rate_total"].reset_index(drop=True)
