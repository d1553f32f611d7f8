"""The explorer's search for a background that captures the shown object, with the controls of what it finds."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from bglab.errors import BadInput
from bglab.images import Placement
from bglab.labels import OUTSIDE
from bglab.search import CONTROLS, CaptureStep, CaptureTask, Trial, search_capture_steps, stratified
from bglab.variants import Adjustment, adjusted
from bglab.widgets import fields
from bglab.widgets.inspection import Prediction
from bglab.widgets.live_widget import LiveWidget, Message
from bglab.widgets.messages import png_of
from bglab.widgets.session import Session
from bglab.widgets.state import State

#: The explorer's backgrounds that show the controls, in the order of `bglab.search.CONTROLS`.
CONTROL_BACKGROUNDS = ("colour:#808080", "variant:on_own_tiled")
#: Images per step: a slider that is moved waits for one step at most.
_STEP = 8
#: Probability of the top answer below which a verdict says that it is unsure.
_UNSURE = 0.2
_STAGES = {
    "backgrounds": "Tried {tried} of {total} backgrounds",
    "placements": "Tried all {total} backgrounds, now other positions and scales",
    "clearer": "Making the capture clearer",
}


@dataclass(frozen=True)
class Verdict:
    """A classifier's answer for an object on one background.

    Attributes:
        prediction: Name of the predicted class among those that are shown, or ``outside``.
        correct: Whether that is the object's class.
        own_probability: Probability of the object's class, in [0, 1].
        top: Name of the most probable class among the classifier's own.
        confidence: Its probability, in [0, 1].
    """

    prediction: str
    correct: bool
    own_probability: float
    top: str
    confidence: float


@dataclass(frozen=True)
class Capture:
    """What a search for a capturing background found.

    Attributes:
        state: The explorer's settings that show it.
        background: Id of the scene that lends the background; "" if the state shows none of another scene.
        placement: Position, scale and mirroring of the object.
        captured: Whether the classifier predicts the background's class instead of the object's.
        verdict: Its answer.
        probability: Probability of the background's class, in [0, 1]; NaN if there is none.
        controls: Its answer for the object at the same place on each of `bglab.search.CONTROLS`.
        clear: Whether the object is captured, and all controls are correct.
        text: What that means, in a sentence.
    """

    state: State
    background: str
    placement: Placement
    captured: bool
    verdict: Verdict
    probability: float
    controls: dict[str, Verdict]
    clear: bool
    text: str = ""


@dataclass(eq=False)
class Hunt:
    """A search in progress for the object that a state shows."""

    number: int
    start: State
    steps: Iterator[CaptureStep]
    last: CaptureStep | None = None

    def __post_init__(self) -> None:
        self.stopped = threading.Event()


class CaptureSearch:
    """Searches backgrounds that capture an object of a session.

    Args:
        session: Images, and the classifiers to capture.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._numbers = itertools.count(1)
        self.hunt: Hunt | None = None
        self.shown: tuple[dict[str, Any], list[bytes]] | None = None

    def begin(self, state: State) -> Hunt:
        """Begin a search for a state's object and classifier; a search in progress ends.

        Raises:
            BadInput: If the class of the object is unknown, the classifier predicts other classes, or no background
                is of another class.
        """
        self.hunt = None
        start = replace(state, mix=1.0, background_blur=0.0, brightness=1.0)
        placement = Placement(start.dx, start.dy, start.scale, start.flip)
        steps = search_capture_steps(self._task(start), placement, batch_size=_STEP)
        self.hunt = Hunt(next(self._numbers), start, steps)
        return self.hunt

    def _task(self, state: State) -> CaptureTask:
        images, inspector, scene = self.session.images, self.session.inspector, state.scene
        scenes, label, display = images.scenes, images.label(scene), self.session.display
        if not inspector.is_comparable(state.model):
            spec = inspector.classifiers[state.model].spec
            raise BadInput(
                f"expected a classifier that predicts {display.title}, got {spec.id} with the classes of {spec.space}; "
                "a capture is a prediction of the background's class"
            )
        if label == OUTSIDE:
            remedy = "choose its class" if scene in images.uploads else f"choose an image of {display.title}"
            raise BadInput(f"expected an image of one of {display.title}, got {scene}; {remedy}, then search again")
        labels = images.labels
        others = np.flatnonzero((labels != label) & (labels != OUTSIDE) & images.prepared.has_plate)
        if not others.size:
            raise BadInput(
                f"expected backgrounds of other classes than {display.name(label)}, but {scenes.name} has none of "
                f"{display.title}; open scenes of several classes"
            )
        edges = adjusted(next(iter(CONTROLS.values())), Adjustment(feather=state.feather, grow=state.grow))
        return CaptureTask(
            scene=images.batch(scene),
            label=label,
            columns=stratified(others, labels, scene),
            labels=labels,
            plates=lambda columns: torch.cat([images.batch(scenes.ids[column]).plates for column in columns]),
            classify=lambda shown: inspector.classify(shown, state.model),
            foreground=edges.foreground,
        )

    def state_of(self, hunt: Hunt, trial: Trial) -> State:
        """Return the state that shows a trial."""
        background = f"scene:{self.session.images.scenes.ids[trial.attempt.column]}"
        return replace(hunt.start, background=background, **asdict(trial.attempt.placement))

    def progress(self, hunt: Hunt) -> str:
        """Describe how far a search is, and what it has found."""
        step = hunt.last
        if step is None:
            return "Searching…"
        words = _STAGES[step.stage].format(tried=step.tried, total=step.total)
        if step.best.captured:
            words += f"; a {'clear ' if step.best.is_clear else ''}capture at {_percent(step.best.probability)}"
        return words

    def outcome(self, hunt: Hunt) -> Capture:
        """Describe the best trial of a search that has ended."""
        step = hunt.last
        assert step is not None  # a search always has a first step
        found = self.describe(self.state_of(hunt, step.best))
        text = found.text
        if not found.captured:
            whose = f"{found.background} ({self._class_of(found)}, {_percent(found.probability)})"
            text = f"No background of {step.tried} captures this object; the closest is {whose}"
        if hunt.stopped.is_set() and step.tried < step.total:
            text = f"Stopped after {step.tried} of {step.total} backgrounds. {text}"
        return replace(found, text=text)

    def describe(self, state: State) -> Capture:
        """Classify what a state shows, and its controls."""
        inspector = self.session.inspector
        shown = inspector.inspect(state)[state.model].prediction
        controls = {
            name: _verdict(inspector.inspect(control)[state.model].prediction)
            for name, control in zip(CONTROLS, controls_of(state), strict=True)
        }
        kind, _, background = state.background.partition(":")
        donor = self.session.images.label(background) if kind == "scene" else OUTSIDE
        found = Capture(
            state=state,
            background=background if kind == "scene" else "",
            placement=Placement(state.dx, state.dy, state.scale, state.flip),
            captured=shown.captured,
            verdict=_verdict(shown),
            probability=shown.probability_of(donor),
            controls=controls,
            clear=shown.captured and all(control.correct for control in controls.values()),
        )
        return replace(found, text=self._sentence(found))

    def message(self, found: Capture) -> tuple[dict[str, Any], list[bytes]]:
        """Return what a view shows of a capture: the sentence, and the controls with their images."""
        content = {
            "type": "capture",
            "state": asdict(found.state),
            "captured": found.captured,
            "clear": found.clear,
            "text": found.text,
            "controls": [
                {"name": name, "correct": control.correct, "words": self._words(control)}
                for name, control in found.controls.items()
            ],
        }
        images = [png_of(self.session.renderer.image(control).numpy()) for control in controls_of(found.state)]
        return content, images

    def _class_of(self, found: Capture) -> str:
        return self.session.display.name(self.session.images.label(found.background))

    def _words(self, control: Verdict) -> str:
        unsure = f"; top answer only {_percent(control.confidence)}" if control.confidence < _UNSURE else ""
        if control.correct:
            return f"still {control.prediction} ({_percent(control.own_probability)}{unsure})"
        native = f"{control.top}, " if self.session.display.is_nine else ""
        return f"{control.prediction} ({native}{_percent(control.confidence)})"

    def _sentence(self, found: Capture) -> str:
        failed = [name for name, control in found.controls.items() if not control.correct]
        if not found.captured:
            return "Not a capture: the classifier does not predict the background's class"
        taken = f"{self._class_of(found)} ({_percent(found.probability)})"
        if failed:
            return f"Taken for {taken}, but no clear capture: the classifier also fails on {' and on '.join(failed)}"
        own = self.session.display.name(self.session.images.label(found.state.scene))
        return f"Clear capture: taken for {taken}, but still {own} at the same place on {' and on '.join(CONTROLS)}"


class CaptureWidget(LiveWidget):
    """The part of the explorer that searches backgrounds which capture the shown object."""

    _capture_search: CaptureSearch
    scene: Any
    state: Any

    def find_capture(self) -> Capture:
        """Search a background that captures the shown object, as the button does, and show what was found.

        A background captures an object if the classifier predicts the background's class instead of the object's, among
        the classes that are shown: the nine, or the scenes' own. Clear captures are preferred, in which the classifier
        is right on the controls: the object at the same place on plain grey, and on its own tiled background. The
        search tries the backgrounds of other classes, then other positions and scales; the explorer then shows the
        capture, with its controls.

        Returns:
            What was found; if ``captured`` is False, no background captures the object, and it is the closest.

        Raises:
            BadInput: If the class of the object is unknown, the classifier predicts other classes, or no background
                is of another class.
        """
        hunt = self._capture_search.begin(State(**self.state))
        for step in hunt.steps:
            hunt.last = step
        return self._finish_capture(hunt)

    def show_controls(self) -> Capture:
        """Show the controls of the current state: its object at the same place on grey and on its own background.

        Returns:
            The verdicts on the state and its controls.
        """
        found = self._capture_search.describe(State(**self.state))
        self._announce(found)
        return found

    def _on_find_capture(self, message: Message, _buffers: list[bytes]) -> None:
        """Begin a search; its steps wait behind everything more urgent, so that sliders stay responsive."""
        hunt = self._capture_search.begin(self._capture_search.session.state_of(fields.settings(message)))
        self._send_hunt(message, "Searching…", running=True)
        self._receive(self, {**message, "type": "capture_step", "hunt": hunt.number}, [])

    def _on_capture_step(self, message: Message, _buffers: list[bytes]) -> None:
        """Classify a few more images of the search, then queue the next step."""
        hunt = self._capture_search.hunt
        if hunt is None or hunt.number != message.get("hunt"):  # a later search has begun
            self._send_hunt(message, "", running=False)
            return
        if self.scene != hunt.start.scene:
            self._capture_search.hunt = None
            self._send_hunt(message, "Search ended: another image was chosen", running=False)
            return
        step = None if hunt.stopped.is_set() and hunt.last else next(hunt.steps, None)
        if step is None:
            self._finish_capture(hunt)
            self._send_hunt(message, "", running=False)
            return
        hunt.last = step
        self._send_hunt(message, self._capture_search.progress(hunt), running=True)
        self._receive(self, message, [])

    def _on_stop_capture(self, _message: Message, _buffers: list[bytes]) -> None:
        """End the search after its current step; what it has found by then is shown."""
        if self._capture_search.hunt is not None:
            self._capture_search.hunt.stopped.set()

    def _finish_capture(self, hunt: Hunt) -> Capture:
        """Show what a search has found, unless a later search has begun."""
        found = self._capture_search.outcome(hunt)
        if self._capture_search.hunt is hunt:
            self._capture_search.hunt = None
            self._announce(found)
            if found.captured:
                self.state = asdict(found.state)
        return found

    def _announce(self, found: Capture) -> None:
        """Send a capture to all views, and keep it for views that open later."""
        self._capture_search.shown = self._capture_search.message(found)
        self.send(*self._capture_search.shown)

    def _show_capture_again(self, message: Message) -> None:
        if self._capture_search.shown is not None:
            content, images = self._capture_search.shown
            self._reply(message, content | {"again": True}, images)

    def _send_hunt(self, message: Message, text: str, *, running: bool) -> None:
        self._reply(message, {"type": "capture_progress", "text": text, "running": running})


def controls_of(state: State) -> tuple[State, ...]:
    """Return the states that show the controls of a state: its object at the same place on other backgrounds."""
    plain = replace(state, mix=1.0, background_blur=0.0, brightness=1.0)
    return tuple(replace(plain, background=background) for background in CONTROL_BACKGROUNDS)


def _verdict(prediction: Prediction) -> Verdict:
    _, top, confidence = prediction.top[0]
    own = prediction.probability_of(prediction.true_label)
    return Verdict(prediction.name, bool(prediction.correct), own, top, confidence)


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
