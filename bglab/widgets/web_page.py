"""An interactive figure for a project page: the explorer's canvas in one HTML file, with answers computed beforehand.

The page composes on its canvas as the explorer does. It has no kernel to classify the result, so every answer that it
can show is computed when it is written, for the kernel's own image at each stop of the slider.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from tqdm.auto import tqdm

from bglab.errors import BadInput, printable
from bglab.files import writable_file, write_text
from bglab.locations import Place
from bglab.models import Classifier
from bglab.results import versions
from bglab.widgets import export
from bglab.widgets.live_widget import module_of, style_of
from bglab.widgets.messages import THUMB_PX, colour_table, shown_classes
from bglab.widgets.rendering import Layers
from bglab.widgets.session import Session
from bglab.widgets.state import SLIDERS, State
from bglab.widgets.stored_answers import StoredAnswers, StoredImages

#: Stops of the slider: 0, 5, …, 100 %.
MIXES = tuple(step / 20 for step in range(21))
#: Largest page that is written unless another limit is given, in megabytes.
MAX_MB = 10.0

_TITLE = "What a classifier makes of another background"
_STYLES = ("explorer.css", "strip.css", "figure.css")
#: Settings that readers change.
_OFFERED = ("scene", "background", "mix", "saliency_opacity", "model")
#: What a target explains, in words.
_TARGETS = {"predicted": "the predicted class", "true": "the true class", "background": "the background's class"}


@dataclass(frozen=True)
class PageChoice:
    """What a page offers its readers, and what it says about it.

    Attributes:
        scenes: Ids of the images.
        backgrounds: Backgrounds, as written in `bglab.widgets.state.State.background`.
        mixes: Stops of the slider in [0, 1]; kept in ascending order, each once.
        title: Title of the page; "" stands for one that fits any.
        caption: Text below the figure.

    Raises:
        BadInput: If nothing is chosen, or a mix is out of range.
    """

    scenes: Sequence[str]
    backgrounds: Sequence[str]
    mixes: Sequence[float] = MIXES
    title: str = ""
    caption: str = ""

    def __post_init__(self) -> None:
        for name in ("scenes", "backgrounds", "mixes"):
            values = getattr(self, name)
            if isinstance(values, str):
                raise BadInput(f"expected {name} as a list, got the text {values!r:.60}; write {name}=[{values!r:.60}]")
            if not len(values):
                raise BadInput(f"expected at least one of {name}, got none; leave {name} out to keep the default")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        for mix in self.mixes:
            State("", mix=mix)  # refuses what is no number from 0 to 1
        object.__setattr__(self, "mixes", tuple(sorted(map(float, self.mixes))))

    def count(self, models: int) -> str:
        """Return in words how much is chosen, for a number of classifiers."""
        counts = {"image": len(self.scenes), "background": len(self.backgrounds), "mix": len(self.mixes)}
        plural = {"mix": "mixes"}
        counts["classifier"] = models
        return " × ".join(f"{n} {word if n == 1 else plural.get(word, word + 's')}" for word, n in counts.items())


def write_page(
    session: Session,
    state: State,
    path: Place | str,
    choice: PageChoice,
    *,
    max_mb: float = MAX_MB,
    progress: bool = True,
) -> Place:
    """Write a page, whole or not at all; see `build_page`.

    Returns:
        The path of the file.

    Raises:
        BadInput: If the file cannot be written; everything that `build_page` raises.
    """
    target = writable_file(path)
    page = build_page(session, state, choice, max_mb=max_mb, progress=progress)
    return write_text(target, page, what="the page", remedy="choose another path")


def build_page(
    session: Session, state: State, choice: PageChoice, *, max_mb: float = MAX_MB, progress: bool = True
) -> str:
    """Compute all answers of a page, and return it as HTML without external resources.

    Images are stored without loss, so that the page's canvas shows what was classified to within one grey level. Each
    is stored once: a photograph is the same before all backgrounds, and the background of a scene behind all objects.

    Args:
        session: Images and classifiers.
        state: What the page begins with, and its settings of mask, position, blur and brightness, which stay fixed.
        choice: Images, backgrounds and mixes.
        max_mb: Largest page in megabytes, of 10⁶ bytes.
        progress: Whether to show a progress bar.

    Raises:
        UnknownName: If there is no such scene or background.
        BadInput: If a scene cannot be shown on a background, the page would be too large, which is known before the
            composed images are classified, or answers are not finite.
    """
    first = _beginning(state, choice)
    states = [[first.but({"scene": s, "background": b}) for b in choice.backgrounds] for s in choice.scenes]
    for each in sum(states, []):
        session.check(each)
    images, answers = StoredImages(), StoredAnswers(session, choice.mixes)
    pairs = [[_pair(session, each, images) for each in row] for row in states]
    scenes = [_scene(session, scene, answers) for scene in choice.scenes]
    count = len(choice.scenes) * len(choice.backgrounds) * len(choice.mixes)
    _check_size(images.size, count * answers.size, choice, len(answers.classifiers), max_mb)
    with tqdm(total=count, desc="answers for the page", unit="image", disable=not progress) as bar:
        for each, pair in zip(sum(states, []), sum(pairs, []), strict=True):
            pair["answers"] = answers.series(each)
            bar.update(len(choice.mixes))
        data = {
            "size": session.images.size,
            "thumb": THUMB_PX,
            "mixes": choice.mixes,
            "settings": first.adjustment._asdict(),
            "state": {name: getattr(first, name) for name in _OFFERED},
            "opacity": SLIDERS["saliency_opacity"]._asdict(),
            **shown_classes(session.display),
            "rest": session.display.rest,
            "colour_map": colour_table(),
            "models": [export.public_id(classifier.spec) for classifier in answers.classifiers],
            **answers.shared,
            "scenes": scenes,
            "backgrounds": [{"key": key, "words": export.in_words(key)} for key in choice.backgrounds],
            "pairs": pairs,
            "images": images.texts,
        }
        page = _render(session, first, choice, data)
        bar.set_postfix_str(f"page of {len(page.encode()) / 1e6:.1f} MB")
    return page


def _beginning(state: State, choice: PageChoice) -> State:
    """Return the state that a page begins with: the current one, as far as the page offers it."""
    scene = state.scene if state.scene in choice.scenes else choice.scenes[0]
    background = state.background if state.background in choice.backgrounds else choice.backgrounds[0]
    mix = min(choice.mixes, key=lambda mix: abs(mix - state.mix))
    return state.but({"scene": scene, "background": background, "mix": mix})


def _pair(session: Session, state: State, images: StoredImages) -> dict[str, Any]:
    """Store the layers of a scene on a background, and describe the scene that lends it, if any."""
    made = session.renderer.layers(state.scene, state.background)
    donor = f"{made.donor} ({session.display.name(made.donor_label)})" if made.donor else ""
    places = [images.add(plane) for plane in _planes(made)]
    return {"layers": places, "donor": donor, "donor_label": made.donor_label}


def _planes(made: Layers) -> list[UInt8[np.ndarray, "3 h w"]]:
    """Return the photograph, the object's colours, its mask as black and white, and the background."""
    mask = 255 * made.alpha.byte().expand_as(made.image)
    return [plane.contiguous().numpy() for plane in (made.image, made.front, mask, made.plate)]


def _scene(session: Session, scene: str, answers: StoredAnswers) -> dict[str, Any]:
    label = session.images.label(scene)
    words = f"{session.display.name(label)} · {scene}"
    return {"id": scene, "words": words, "truth": label, "originals": answers.originals(scene)}


def _check_size(images: int, answers: int, choice: PageChoice, models: int, max_mb: float) -> None:
    """Refuse a page that would be larger than its limit; sizes are in bytes."""
    expected = (images + answers) / 1e6
    if expected > max_mb:
        raise BadInput(
            f"expected a page of at most {max_mb:g} MB, but {choice.count(models)} take about {expected:.1f} MB, "
            f"{images / 1e6:.1f} MB of them for images; choose fewer, or give a larger max_mb"
        )


def _classifier(classifier: Classifier) -> str:
    spec, engine = classifier.spec, classifier.engine
    weights = f"weights SHA-256 {spec.sha256}…" if spec.sha256 else "a function, without weights"
    return f"{export.public_id(spec)}: {weights}, input protocol {spec.protocol}, {engine.name} in {engine.precision}"


def _fixed(state: State) -> str:
    """List the settings that readers cannot change and that are not those of the explorer's beginning; "" for none."""
    fixed = ["object mirrored"] if state.flip else []
    for name, slider in SLIDERS.items():
        value = getattr(state, name)
        if name not in _OFFERED and value != getattr(State(""), name):
            amount = f"{100 * value:g} %" if slider.unit == "%" else f"{value:g} {slider.unit}"
            fixed.append(f"{slider.label.lower()} {amount}")
    return ", ".join(fixed)


def _made(session: Session, first: State, choice: PageChoice) -> list[tuple[str, list[str]]]:
    """List how the answers of a page were made, as terms and sentences."""
    scenes, classifiers, size = session.images.scenes, session.inspector.classifiers, session.images.size
    stops, fixed = ", ".join(f"{100 * mix:g}" for mix in choice.mixes), _fixed(first)
    made = {
        "Classifier" if len(classifiers) == 1 else "Classifiers": [_classifier(each) for each in classifiers],
        "Images": [
            f"{scenes.name}, fingerprint {scenes.fingerprint}, {size} × {size} pixels, seed {session.seed}",
            scenes.credit,
        ],
        "Answers": [
            f"{choice.count(len(classifiers))}: each was computed for the composed image before this page was written.",
            f"The slider stops where there are answers, at a mix of {stops} %; nothing in between is interpolated.",
            "The mix is the share of the change that is shown: 0 % is the photograph, 100 % the whole change.",
        ],
        "Saliency": [f"Grad-CAM of {_TARGETS[first.target]}, scaled to the maximum of each map"],
        "Settings": [fixed and f"In all images: {fixed}"],
        "Software": [", ".join(f"{name} {version}" for name, version in versions().items())],
    }
    return [(term, [printable(text) for text in texts if text]) for term, texts in made.items() if any(texts)]


def _render(session: Session, first: State, choice: PageChoice, data: dict[str, Any]) -> str:
    """Render the template, whose policy allows its own script and style and no connection."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bglab.widgets", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    script, style = module_of("figure.js"), style_of(_STYLES)
    still = export.draw(session, first)._repr_jpeg_() or b""
    return environment.get_template("figure.html.j2").render(
        title=printable(choice.title) or _TITLE,
        caption=printable(choice.caption),
        still=base64.b64encode(still).decode(),
        still_words=printable(f"{first.scene} {export.in_words(first.background)}, mix {100 * first.mix:g} %"),
        made=_made(session, first, choice),
        style=Markup(style),  # files of the project, in which no name of an image can be
        script=Markup(script),
        style_hash=_source_expression(style),
        script_hash=_source_expression(script),
        # escapes what could end the element, whatever the names are
        data=htmlsafe_json_dumps(data, dumps=json.dumps, separators=(",", ":"), allow_nan=False),
    )


def _source_expression(text: str) -> str:
    """Return what allows a script or style in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
