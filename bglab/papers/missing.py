"""What an artefact lacks, and the error raised when the time limit for training is reached."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bglab.errors import MissingData


class Missing(NamedTuple):
    """A requirement of an artefact that is not met.

    Attributes:
        state: What would meet it: a trained network, or data.
        reason: Explanation in one sentence.
        command: Command that provides it; "" if there is none.
    """

    state: Literal["needs training", "needs data"]
    reason: str
    command: str = ""


class TimeLimitReached(MissingData):
    """Raised when training exceeds the time limit of a run; the next run resumes from the last checkpoint."""
