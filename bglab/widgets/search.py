"""The live search: one foreground on every background, with the worst so far shown next to the original."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import traitlets
from IPython.display import publish_display_data

from bglab.analysis import share_interval
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.figures import ShownFigure
from bglab.labels import OUTSIDE
from bglab.models import ClassifierLike, as_classifier
from bglab.results import Criterion, Protocol
from bglab.scenes import ScenesLike, as_prepared
from bglab.search import (
    LiveState,
    LiveStep,
    Refinement,
    open_evaluator,
    refine_attack_steps,
    search_live_steps,
    start_live,
)
from bglab.widgets.explorer import Explorer
from bglab.widgets.export import draw
from bglab.widgets.inspection import NINE_NAMES
from bglab.widgets.live_widget import VIEW_PARTS, LiveWidget, Message, made_by_cell, module_of
from bglab.widgets.messages import PER_SHEET, Sheets, greeting, map_bytes, png_of, result_message, sheet_of
from bglab.widgets.session import Session
from bglab.widgets.state import State

#: Candidates per step: about a tenth of a second on a laptop, so that a stop takes effect immediately.
_STEP = 16
#: Targets other than one of the nine classes.
_TARGETS = ("any error", "the background's class")
#: Number of the worst backgrounds from which the refined attack starts.
_REFINED = 5
#: Shortest time in seconds between two reports of a refinement.
_REPORT_S = 0.15


class LiveSearch(LiveWidget):
    """A search for backgrounds on which a classifier fails for one foreground; made by `search_live`.

    Attributes:
        explorer: Explorer in which a background that was found is opened.
    """

    _esm = module_of((*VIEW_PARTS, "strip.js", "composer.js", "results.js", "search.js"))
    _css = module_of(["explorer.css", "strip.css", "search.css"])

    title = "live search"
    urgency = {"hello": 4, "show": 1, "thumbs": 2, "open": 3, "refine": 1}
    latest = frozenset({"step", "show", "idle"})
    parallel = frozenset({"idle", "thumbs", "open", "show"})
    immediate = frozenset({"cancel", "cancel_refine"})

    scene = traitlets.Unicode().tag(sync=True)
    target = traitlets.Unicode(_TARGETS[0]).tag(sync=True)

    def __init__(self, session: Session, scene: str, target: str, protocol: Protocol) -> None:
        self._session = session
        self._scenes, self._classifier = session.images.scenes, session.inspector.classifiers[0]
        self._evaluator = open_evaluator(self._classifier, session.images.prepared, protocol, progress=False)
        self._running, self._refining = threading.Event(), threading.Event()
        self._sheets = Sheets(session.images)
        self._placeholder = ""
        self._begin(scene)
        session.inspector.inspect_original(scene)  # prepares Grad-CAM now, when it does not slow down the search
        super().__init__(scene=scene, target=target)
        self.explorer = Explorer(session, State(scene))

    @traitlets.validate("scene", "target")
    def _check(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "scene" and value not in self._scenes.positions:
            raise UnknownName(unknown_name("scene", value, self._scenes.near(value)))
        if name == "target" and value not in self._targets:
            raise UnknownName(unknown_name("target", value, self._targets))
        return value

    @traitlets.observe("scene")
    def _other_scene(self, change: Any) -> None:
        if change["new"] != self._state_of:
            self.cancel()
            self._begin(change["new"])

    @property
    def _targets(self) -> list[str]:
        return [*_TARGETS, *self._scenes.classes]

    def _begin(self, scene: str) -> None:
        """List the candidates for a scene, and drop what was tried before."""
        self._state: LiveState = start_live(self._evaluator, scene)
        self._state_of = scene
        self._steps: list[LiveStep] = []
        self._refined: Refinement | None = None

    # ---- for code in other cells

    @property
    def results(self) -> pd.DataFrame:
        """Every background tried so far, the worst first.

        Returns:
            One row per background, with the columns ``background, label, native`` (name of the predicted native
            class), ``prediction`` (among the scenes' classes), ``fooled`` (whether the target is reached), ``score``
            (probability in [0, 1] of the target; larger is closer), and ``column`` of the evaluator.
        """
        tables = [self._table(step) for step in self._steps] or [self._table(None)]
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values(["fooled", "score"], ascending=False, kind="stable").reset_index(drop=True)

    def _table(self, step: LiveStep | None) -> pd.DataFrame:
        """Tabulate the backgrounds of one step, in the order in which they were tried."""
        columns = ["background", "label", "native", "prediction", "fooled", "score", "column"]
        if step is None:
            return pd.DataFrame(columns=columns).astype({"fooled": bool, "score": float})
        side, classes = self._evaluator.backgrounds, self._classifier.classes
        fooled, score = self._evaluate(step)
        values = (
            [side.ids[column] for column in step.columns],
            side.labels[step.columns],
            [classes[native] for native in step.answers.native],
            step.answers.predictions,
            fooled,
            score,
            step.columns,
        )
        return pd.DataFrame(dict(zip(columns, values, strict=True)))

    @property
    def share(self) -> tuple[float, float, float]:
        """Share in [0, 1] of the backgrounds tried so far that fool, and its 95 % interval; NaN before the first."""
        if not self._steps:
            return float("nan"), float("nan"), float("nan")
        fooled = np.array([sum(int(self._evaluate(step)[0].sum()) for step in self._steps)])
        tried = np.array([self._state.tried])
        low, high = share_interval(fooled, tried)
        return float(fooled[0] / tried[0]), float(low[0]), float(high[0])

    def run(self, count: int | None = None) -> LiveSearch:
        """Try backgrounds in the calling thread, as in a script.

        Args:
            count: Largest number of backgrounds; None tries all that are left.

        Returns:
            The widget itself.
        """
        end = self._state.tried + (count if count is not None else len(self._state.left))
        while self._state.left.size and self._state.tried < end:
            self._advance(min(_STEP, end - self._state.tried))
        return self

    def cancel(self) -> None:
        """Stop a running search and refinement; their results so far remain."""
        self._running.clear()
        self._refining.clear()

    def refine(self, budget: int = 200) -> Refinement:
        """Attack with the worst backgrounds by moving, scaling, mirroring and mixing the object; see `refine_attack`.

        The attack goes on where the worst background already fools: it makes the classifier's error more certain.

        Args:
            budget: Largest number of images to classify.

        Raises:
            BadInput: If no background was tried yet.
        """
        *_, self._refined = self._refinements(budget)
        return self._refined

    def _refinements(self, budget: int) -> Iterator[Refinement]:
        """Refine the worst backgrounds, batch by batch."""
        table = self.results
        if table.empty:
            raise BadInput("expected at least one tried background to refine, got none; start the search first")
        if self.target not in _TARGETS:
            table = table.loc[table["label"] == self._scenes.classes.index(self.target)]
        columns = table["column"].to_list()[:_REFINED]
        return refine_attack_steps(
            self._evaluator, self.scene, columns, criterion=self._criterion, budget=budget, stop="budget"
        )

    @property
    def _criterion(self) -> Criterion:
        return "any" if self.target == _TARGETS[0] else "targeted"

    def figure(self) -> ShownFigure:
        """Draw the original and the worst background so far, with the predictions for both."""
        table = self.results
        worst = "own" if table.empty else f"scene:{table['background'].iloc[0]}"
        return draw(self._session, State(self.scene, worst))

    def close(self) -> None:
        """Close the search and its explorer."""
        self.cancel()
        super().close()
        self.explorer.close()

    def retire(self) -> None:
        """Close, and release the classifier and the results."""
        self.close()
        self._session.inspector.release()
        del self._evaluator, self._state, self._classifier
        self._steps.clear()

    # ---- the search

    def _evaluate(self, step: LiveStep) -> tuple[np.ndarray, np.ndarray]:
        """Check for each candidate whether it reaches the target, and how probable the target is."""
        if self.target == _TARGETS[0]:
            return step.incorrect, 1 - step.own_probability
        if self.target == _TARGETS[1]:
            return step.captured, step.target_probability
        wanted = self._scenes.classes.index(self.target)
        label = int(self._evaluator.foregrounds.labels[self._state.foreground])
        return (step.answers.predictions == wanted) & (wanted != label), step.answers.probabilities[:, wanted]

    def _advance(self, count: int) -> LiveStep:
        step = next(search_live_steps(self._evaluator, self._state, batch_size=count))
        self._steps.append(step)
        self._state = step.state
        return step

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        content = greeting(self._session, {"scene": self.scene, "target": self.target})
        self._reply(message, {"type": "hello", **content, "targets": self._targets})
        self._send_progress(message)
        self._send_items(message, self.results)

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        sheet = str(message["sheet"])
        self._reply(message, {"type": "thumbs", "sheet": sheet}, [self._sheets.jpeg("scene", sheet)])

    def _on_start(self, message: Message, _buffers: list[bytes]) -> None:
        """Start, or continue where the search was stopped."""
        if not self._running.is_set():
            self._running.set()
            self._receive(self, {**message, "type": "step"}, [])

    def _on_step(self, message: Message, _buffers: list[bytes]) -> None:
        """Try a few more backgrounds, then queue the next step behind more urgent messages."""
        if not self._running.is_set() or not self._state.left.size:
            self._running.clear()
            self._send_progress(message)
            return
        step = self._advance(_STEP)
        self._send_items(message, self._table(step))
        self._send_progress(message)
        self._receive(self, message, [])

    def _on_cancel(self, message: Message, _buffers: list[bytes]) -> None:
        self.cancel()
        self._send_progress(message)

    def _on_choose(self, message: Message, _buffers: list[bytes]) -> None:
        """Change the foreground, or evaluate the results so far by another target."""
        if message.get("scene", self.scene) != self.scene:
            self.scene = str(message["scene"])
        self.target = str(message.get("target", self.target))
        self._reply(message, {"type": "clear"})
        self._send_progress(message)
        self._send_items(message, self.results)

    def _on_show(self, message: Message, _buffers: list[bytes]) -> None:
        """Show one background in full size, with prediction and Grad-CAM, next to the original."""
        self._show(message, State(self.scene, f"scene:{message['background']}"), "candidate")

    def _on_refine(self, message: Message, _buffers: list[bytes]) -> None:
        """Refine the worst backgrounds, report from time to time, and show the best attempt."""
        budget, of, reported, found = int(message.get("budget", 200)), self._state_of, 0.0, None
        self._refining.set()
        try:
            for found in self._refinements(budget):
                if not self._refining.is_set():
                    break
                if time.monotonic() - reported > _REPORT_S:
                    reported = time.monotonic()
                    self._reply(message, self._refinement_message(found, budget, running=True))
        finally:
            self._refining.clear()
        if found is None or self._state_of != of:
            return
        self._refined = found
        self._reply(message, self._refinement_message(found, budget, running=False))
        self._show(message, self._refined_state(found), "refined")

    def _on_cancel_refine(self, _message: Message, _buffers: list[bytes]) -> None:
        self._refining.clear()

    def _refinement_message(self, found: Refinement, budget: int, *, running: bool) -> dict[str, Any]:
        """Describe how far a refinement is: the probability that it changes, at the start and now."""
        sign = 1 if self._criterion == "targeted" else -1
        return {
            "type": "refined",
            "running": running,
            "forwards": found.forwards,
            "budget": budget,
            "of": "the background's class" if sign > 0 else "the object's own class",
            "before": float(np.exp(sign * found.scores[0])),
            "now": float(np.exp(sign * found.score)),
            "hit": found.succeeded,
            "hit_before": found.hit_before,
        }

    def _on_open(self, message: Message, _buffers: list[bytes]) -> None:
        """Open a state in the explorer, which appears below the search the first time."""
        self.explorer.state = cast(dict[str, Any], message["state"])
        if self._placeholder:
            live = self.explorer._repr_mimebundle_()
            bundle = live[0] if isinstance(live, tuple) else live
            publish_display_data(cast(dict, bundle), transient={"display_id": self._placeholder}, update=True)
            self._placeholder = ""
        self._reply(message, {"type": "opened"})

    def _refined_state(self, found: Refinement) -> State:
        attempt = found.attempt
        return State(
            self.scene,
            f"scene:{self._evaluator.backgrounds.ids[attempt.column]}",
            mix=attempt.mix,
            **asdict(attempt.placement),
        )

    def _show(self, message: Message, state: State, place: str) -> None:
        """Send a state and its original, both with prediction and saliency, to one of the view's panels."""
        inspector = self._session.inspector
        now, original = inspector.inspect(state)[:1], inspector.inspect_original(state.scene)[:1]
        content, maps = result_message(now, original)
        content |= {"place": place, "state": asdict(state), "truth": self._session.images.label(state.scene)}
        images = [png_of(self._session.renderer.image(shown).numpy()) for shown in (State(state.scene), state)]
        buffers = [*images, map_bytes(original[0]), *maps]
        self._reply(message, {**content, "type": "shown"}, buffers)

    def _send_progress(self, message: Message) -> None:
        share, low, high = self.share
        total = self._state.tried + len(self._state.left)
        self._reply(
            message,
            {
                "type": "progress",
                "tried": self._state.tried,
                "total": total,
                "running": self._running.is_set(),
                "share": None if np.isnan(share) else [share, low, high],
            },
        )

    def _send_items(self, message: Message, table: Any) -> None:
        """Send results with thumbnails of the composed images."""
        for start in range(0, len(table), PER_SHEET):
            part = table.iloc[start : start + PER_SHEET]
            states = [State(self.scene, f"scene:{name}") for name in part["background"]]
            sprite = sheet_of([self._session.renderer.image(state).numpy() for state in states])
            items = [
                {
                    "id": row.background,
                    "score": round(float(cast(float, row.score)), 5),
                    "fooled": bool(row.fooled),
                    "predicted": f"{_class_name(int(cast(int, row.prediction)))} ({row.native})",
                    "class": _class_name(int(cast(int, row.label))),
                }
                for row in part.itertuples()
            ]
            self._reply(message, {"type": "items", "items": items, "scene": self.scene}, [sprite])

    def _caption(self) -> str:
        share, low, high = self.share
        if np.isnan(share):
            return f"{self.scene}: no background tried yet"
        tried = self._state.tried
        interval = f"[{100 * low:.0f}, {100 * high:.0f}]"
        return f"{self.scene}: {100 * share:.0f} % {interval} of {tried} backgrounds fool the classifier"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the search, and reserve a place below it for the explorer."""
        super()._ipython_display_(**options)
        self._placeholder = f"bglab-explorer-{self.model_id}"
        publish_display_data({"text/plain": ""}, transient={"display_id": self._placeholder})


def search_live(
    scene: str,
    classifier: ClassifierLike,
    scenes: ScenesLike,
    *,
    target: str = _TARGETS[0],
    protocol: Protocol | None = None,
    size: int = 224,
    seed: int = 0,
) -> LiveSearch:
    """Open the live search: try backgrounds on one foreground and see which of them fool the classifier.

    Args:
        scene: Id of the foreground to start with.
        classifier: Classifier to fool, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scenes, or their URI or folder, whose foregrounds and tiled backgrounds are combined.
        target: ``any error``, ``the background's class``, or the name of a class.
        protocol: Rule for candidate backgrounds; None takes all of them, as the challenge of the IN-9 release does.
        size: Side of the images in pixels.
        seed: Seed of the explorer that opens what was found.

    Raises:
        UnknownName: If there is no such scene or target.
        BadInput: If the scenes are not labelled in the nine classes, or the classifier's classes do not map to them.
    """
    prepared = as_prepared(scenes, size)
    if prepared.scenes.space != "in9":
        raise BadInput(
            f"expected scenes labelled in the nine classes, got {prepared.scenes.name} ({prepared.scenes.space}); "
            "open the sample, cutouts, synthetic9 or in9: scenes"
        )
    session = Session(prepared, [as_classifier(classifier)], seed)
    return made_by_cell(LiveSearch(session, scene, target, protocol or Protocol()))


def _class_name(label: int) -> str:
    return NINE_NAMES[label] if label != OUTSIDE else NINE_NAMES[-1]
