"""What an artefact may missing, and the end of the time set aside for training."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bglab.errors import MissingData


class Missing(NamedTuple):
    """What an artefact needs and is not there.

    Attributes:
        state: Whether a training or data would mend it.
        reason: One sentence.
        command: What gets it; "" if no command does.
    """

    state: Literal["needs training", "needs data"]
    reason: str
    command: str = ""


class TimeBoxUsed(MissingData):
    """A training was stopped by the time box; the next run goes on with it."""
