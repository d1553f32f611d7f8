"""What fooling means: the two notions of success of a background, each said once for all who judge."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from bglab.errors import BadInput
from bglab.labels import OUTSIDE

#: ``any`` error at all (the release's challenge), or ``targeted``: taken for the background's class (the paper's text).
Goal = Literal["any", "targeted"]
GOALS: tuple[Goal, Goal] = ("any", "targeted")


def succeeds(
    goal: Goal, answers: Int[np.ndarray, "*#n"], own: Int[np.ndarray, "*#n"], other: Int[np.ndarray, "*#n"]
) -> Bool[np.ndarray, "*n"]:
    """Say for answers to foregrounds of class ``own`` on backgrounds of class ``other`` whether they reach a goal.

    Example:
        >>> succeeds("targeted", np.array([1, 1, -1]), np.array([0, 1, 0]), np.array([1, 1, -1])).tolist()
        [True, False, False]
    """
    if goal == "any":
        return answers != own
    if goal == "targeted":
        return (answers == other) & (own != other) & (other != OUTSIDE)
    raise BadInput(f"expected the goal any or targeted, got '{goal}'")
