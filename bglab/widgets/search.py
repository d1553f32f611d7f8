"""The live search: one foreground on every background, with the worst so far shown next to the original."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import traitlets

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.figures import ShownFigure
from bglab.models import ClassifierLike, as_classifier
from bglab.results import Protocol
from bglab.scenes import ScenesLike, as_prepared
from bglab.search import Refinement, open_evaluator, refine_attack_steps
from bglab.widgets import fields
from bglab.widgets.explorer import Explorer
from bglab.widgets.export import draw
from bglab.widgets.live_results import TARGETS, LiveResults, criterion_of
from bglab.widgets.live_widget import LiveWidget, Message, made_by_cell, module_of, style_of
from bglab.widgets.messages import PER_SHEET, Sheets, greeting, map_bytes, png_of, result_message, sheet_of
from bglab.widgets.place import Place
from bglab.widgets.session import Session
from bglab.widgets.state import State

#: Candidates per step: about a tenth of a second on a laptop, so that a stop takes effect immediately.
_STEP = 16
#: Number of the worst backgrounds from which the refined attack starts.
_REFINED = 5
#: Most images that a message may ask a refinement to classify.
_MOST_BUDGET = 100_000
#: Shortest time in seconds between two reports of a refinement.
_REPORT_S = 0.15


class LiveSearch(LiveWidget):
    """A search for backgrounds on which a classifier fails for one foreground; made by `search_live`.

    Attributes:
        explorer: Explorer in which a background that was found is opened.
    """

    _esm = module_of("search.js")
    _css = style_of(["explorer.css", "strip.css", "search.css"])

    title = "live search"
    urgency = {"hello": 4, "show": 1, "thumbs": 2, "open": 3, "refine": 1}
    latest = frozenset({"step", "show", "idle"})
    parallel = frozenset({"idle", "thumbs", "open", "show"})
    immediate = frozenset({"cancel", "cancel_refine"})

    scene = traitlets.Unicode().tag(sync=True)
    target = traitlets.Unicode(TARGETS[0]).tag(sync=True)

    def __init__(self, session: Session, tried: LiveResults, target: str) -> None:
        scene = tried.scene
        self._session = session
        self._scenes, self._evaluator = session.images.scenes, tried.evaluator
        self._running, self._refining = threading.Event(), threading.Event()
        self._sheets = Sheets(session.images)
        self._start_with(tried)
        session.inspector.inspect_original(scene)  # prepares Grad-CAM now, when it does not slow down the search
        self._place = Place()
        super().__init__(scene=scene, target=target)
        self.explorer = Explorer(session, State(scene))

    @traitlets.validate("scene", "target")
    def _check(self, proposal: Any) -> Any:
        self._check_settings({proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name in ("scene", "target"):
            if name in settings and not isinstance(settings[name], str):
                raise BadInput(f"expected {name} as text, got {settings[name]!r:.60}")
        scene, target = settings.get("scene"), settings.get("target")
        if scene is not None and scene not in self._scenes.positions:
            raise UnknownName(unknown_name("scene", scene, self._scenes.near(scene)))
        if target is not None and target not in self._targets:
            raise UnknownName(unknown_name("target", target, self._targets))

    @traitlets.observe("scene")
    def _other_scene(self, change: Any) -> None:
        if change["new"] != self._tried.scene:
            self.cancel()
            self._start_with(LiveResults(self._evaluator, change["new"]))

    @property
    def _targets(self) -> list[str]:
        return [*TARGETS, *self._scenes.classes]

    def _start_with(self, tried: LiveResults) -> None:
        """Take another foreground, and drop what was tried before."""
        self._tried = tried
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
        return self._tried.table(self.target)

    @property
    def share(self) -> tuple[float, float, float]:
        """Share in [0, 1] of the backgrounds tried so far that fool, and its 95 % interval; NaN before the first."""
        return self._tried.share(self.target)

    def run(self, count: int | None = None) -> LiveSearch:
        """Try backgrounds in the calling thread, as in a script.

        Args:
            count: Largest number of backgrounds; None tries all that are left.

        Returns:
            The widget itself.
        """
        tried = self._tried
        end = tried.state.tried + (count if count is not None else len(tried.state.left))
        while tried.state.left.size and tried.state.tried < end:
            tried.advance(min(_STEP, end - tried.state.tried))
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
        if self.target not in TARGETS:
            table = table.loc[table["label"] == self._scenes.classes.index(self.target)]
        columns = table["column"].to_list()[:_REFINED]
        return refine_attack_steps(
            self._evaluator, self.scene, columns, criterion=criterion_of(self.target), budget=budget, stop="budget"
        )

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
        self._tried.clear()
        del self._evaluator, self._tried

    # ---- the search

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        content = greeting(self._session, {"scene": self.scene, "target": self.target})
        self._reply(message, {"type": "hello", **content, "targets": self._targets})
        self._send_progress(message)
        self._send_items(message, self.results)

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        sheet = fields.text(message, "sheet")
        self._reply(message, {"type": "thumbs", "sheet": sheet}, [self._sheets.jpeg("scene", sheet)])

    def _on_start(self, message: Message, _buffers: list[bytes]) -> None:
        """Start, or continue where the search was stopped."""
        if not self._running.is_set():
            self._running.set()
            self._receive(self, {**message, "type": "step"}, [])

    def _on_step(self, message: Message, _buffers: list[bytes]) -> None:
        """Try a few more backgrounds, then queue the next step behind more urgent messages."""
        tried = self._tried
        if not self._running.is_set() or not tried.state.left.size:
            self._running.clear()
            self._send_progress(message)
            return
        self._send_items(message, tried.tabulate(tried.advance(_STEP), self.target))
        self._send_progress(message)
        self._receive(self, message, [])

    def _on_cancel(self, message: Message, _buffers: list[bytes]) -> None:
        self.cancel()
        self._send_progress(message)

    def _on_choose(self, message: Message, _buffers: list[bytes]) -> None:
        """Change the foreground, or evaluate the results so far by another target."""
        wanted = {name: fields.text(message, name) for name in ("scene", "target") if name in message}
        self._check_settings(wanted)  # both, before one of them changes
        if wanted.get("scene", self.scene) != self.scene:
            self.scene = wanted["scene"]
        self.target = wanted.get("target", self.target)
        self._reply(message, {"type": "clear"})
        self._send_progress(message)
        self._send_items(message, self.results)

    def _on_show(self, message: Message, _buffers: list[bytes]) -> None:
        """Show one background in full size, with prediction and Grad-CAM, next to the original."""
        background = f"scene:{fields.text(message, 'background')}"
        state = self._session.state_of({"scene": self.scene, "background": background})
        self._show(message, state, "candidate")

    def _on_refine(self, message: Message, _buffers: list[bytes]) -> None:
        """Refine the worst backgrounds, report from time to time, and show the best attempt."""
        budget = fields.whole({"budget": 200, **message}, "budget", 1, _MOST_BUDGET)
        of, reported, found = self._tried, 0.0, None
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
        if found is None or self._tried is not of:
            return
        self._refined = found
        self._reply(message, self._refinement_message(found, budget, running=False))
        self._show(message, self._refined_state(found), "refined")

    def _on_cancel_refine(self, _message: Message, _buffers: list[bytes]) -> None:
        self._refining.clear()

    def _refinement_message(self, found: Refinement, budget: int, *, running: bool) -> dict[str, Any]:
        """Describe how far a refinement is: the probability that it changes, at the start and now."""
        sign = 1 if criterion_of(self.target) == "targeted" else -1
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
        self.explorer.state = fields.settings(message)
        self._place.show(self.explorer)
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
        content, maps = result_message(self._session.display, now, original)
        content |= {"place": place, "state": asdict(state), "truth": self._session.images.label(state.scene)}
        images = [png_of(self._session.renderer.image(shown).numpy()) for shown in (State(state.scene), state)]
        buffers = [*images, map_bytes(original[0]), *maps]
        self._reply(message, {**content, "type": "shown"}, buffers)

    def _send_progress(self, message: Message) -> None:
        share, low, high = self.share
        state = self._tried.state
        self._reply(
            message,
            {
                "type": "progress",
                "tried": state.tried,
                "total": state.tried + len(state.left),
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
                    "predicted": self._tried.predicted(int(cast(int, row.prediction)), str(row.native)),
                    "class": self._tried.class_name(int(cast(int, row.label))),
                }
                for row in part.itertuples()
            ]
            self._reply(message, {"type": "items", "items": items, "scene": self.scene}, [sprite])

    def _caption(self) -> str:
        share, low, high = self.share
        if np.isnan(share):
            return f"{self.scene}: no background tried yet"
        tried = self._tried.state.tried
        interval = f"[{100 * low:.0f}, {100 * high:.0f}]"
        return f"{self.scene}: {100 * share:.0f} % {interval} of {tried} backgrounds fool the classifier"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the search, and reserve a place below it for the explorer."""
        super()._ipython_display_(**options)
        self._place.reserve()


def search_live(
    scene: str,
    classifier: ClassifierLike,
    scenes: ScenesLike,
    *,
    target: str = TARGETS[0],
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
        BadInput: If the classifier does not predict the scenes' classes, or ones that map to them.
    """
    loaded = as_classifier(classifier)
    prepared = as_prepared(scenes, size)
    session = Session(prepared, [loaded], seed, mapped=False)
    evaluator = open_evaluator(session.inspector.classifiers[0], prepared, protocol, progress=False)
    return made_by_cell(LiveSearch(session, LiveResults(evaluator, scene), target))
