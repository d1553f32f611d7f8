"""Cards read from files, so that they can be shown and compared later."""

from __future__ import annotations

import json
from pathlib import Path

from bglab.audit.card import CARD_FORMAT, Card
from bglab.audit.evidence import ScenesFacts
from bglab.audit.plain import read_capture, read_evidence
from bglab.errors import BadInput, MissingData, brief
from bglab.locations import place_of
from bglab.results import read_content
from bglab.sealed import unseal


def read_card(path: Path | str) -> Card:
    """Read a card that `Card.save` wrote as JSON.

    The models beside the card's own come back with their measures only.

    Args:
        path: A ``.json`` file, or its URL.

    Raises:
        MissingData: If there is no such file.
        Unreadable: If the disk fails.
        BadInput: If it is no card, is damaged, or of another version of the format.
    """
    place = place_of(path)
    if not place.is_file():
        raise MissingData(
            f"expected a card at {path}, but there is no such file; make it with bglab check --out {path}"
        )
    try:
        content = unseal(json.loads(read_content(place)))
        if content["format"] != CARD_FORMAT:
            raise ValueError(f"format {content['format']}, not {CARD_FORMAT}")
        return Card(
            subject=read_evidence(content["subject"]),
            beside=tuple(read_evidence(one) for one in content["beside"]),
            scenes=ScenesFacts(**content["scenes"]),
            captures=tuple(read_capture(one) for one in content["captures"]),
            notices=tuple(content["notices"]),
            versions=content["versions"],
            commit=content["commit"],
            command=content["command"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise BadInput(
            f"expected a card in {path}, but it cannot be read ({type(problem).__name__}: {brief(problem)}); "
            "make it again with bglab check --out"
        ) from None
