"""The live search: one foreground on every background, the worst so far beside the original, stopped at any moment."""

from __future__ import annotations

import io
import threading
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import traitlets
from IPython.display import publish_display_data
from PIL import Image

from bglab.analysis import share_interval
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.figures import ShownFigure
from bglab.labels import OUTSIDE
from bglab.models import Classifier
from bglab.results import Criterion, Protocol
from bglab.scenes import PreparedScenes, SceneSet, prepare
from bglab.search import LiveState, LiveStep, Refinement, open_evaluator, refine_attack, search_live_steps, start_live
from bglab.widgets.explorer import Explorer
from bglab.widgets.export import draw
from bglab.widgets.live_widget import LiveWidget, Message, made_by_cell, module_of
from bglab.widgets.messages import Sheets, answer_message, greeting, sheet_of
from bglab.widgets.session import NINE_NAMES, Session
from bglab.widgets.state import State

#: Candidates a step: about a tenth of a second on a laptop, so that a stop is felt at once.
_STEP = 16
#: Targets beside the nine classes.
_TARGETS = ("any error", "the background's class")
#: Of how many of the worst backgrounds the other attack begins.
_REFINED = 5


class LiveSearch(LiveWidget):
    """A foreground, a target, and every background tried so far; made by `search_live`.

    Attributes:
        explorer: Where a background that was found is opened.
    """

    _esm = module_of(("controls.js", "composer.js", "search.js"))
    _css = module_of(["explorer.css", "search.css"])

    urgency = {"hello": 4, "show": 1, "thumbs": 2, "open": 3, "refine": 1}
    latest = frozenset({"step", "show", "rest"})
    aside = frozenset({"rest", "thumbs", "open", "show"})
    # a stop waits for nothing
    at_once = frozenset({"cancel"})

    scene = traitlets.Unicode().tag(sync=True)
    target = traitlets.Unicode(_TARGETS[0]).tag(sync=True)

    def __init__(self, session: Session, scene: str, target: str, protocol: Protocol) -> None:
        self._session = session
        self._evaluator = open_evaluator(session.classifiers[0], session.prepared, protocol, progress=False)
        self._running = threading.Event()
        self._sheets = Sheets(session)
        self._placeholder = ""
        self._begin(scene)
        session.original(scene)  # what Grad-CAM prepares once must not compete with the search later
        super().__init__(scene=scene, target=target)
        self.explorer = Explorer(session, State(scene))

    @traitlets.validate("scene", "target")
    def _check(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "scene" and value not in self._session.prepared.scenes.positions:
            raise UnknownName(unknown_name("scene", value, self._session.prepared.scenes.near(value)))
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
        return [*_TARGETS, *self._session.prepared.scenes.classes]

    def _begin(self, scene: str) -> None:
        """Line up the candidates for a scene, and forget what was tried before."""
        self._state: LiveState = start_live(self._evaluator, scene)
        self._state_of = scene
        self._steps: list[LiveStep] = []
        self._refined: Refinement | None = None

    # ---- for the next cell

    @property
    def results(self) -> pd.DataFrame:
        """Every background tried so far, the worst first.

        Returns:
            ``background, label, native`` (the classifier's own class), ``prediction`` (among the scenes' classes),
            ``fooled`` (of the target), ``score`` (larger is closer to the target), ``column`` of the evaluator.
        """
        tables = [self._table(step) for step in self._steps] or [self._table(None)]
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values(["fooled", "score"], ascending=False, kind="stable").reset_index(drop=True)

    def _table(self, step: LiveStep | None) -> pd.DataFrame:
        """Give what one step tried, in the order in which it was tried."""
        columns = ["background", "label", "native", "prediction", "fooled", "score", "column"]
        if step is None:
            return pd.DataFrame(columns=columns).astype({"fooled": bool, "score": float})
        side, classes = self._evaluator.backgrounds, self._session.classifiers[0].classes
        fooled, score = self._judge(step)
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
        """Share of the backgrounds tried so far that fool, with its 95 % interval; NaN before the first."""
        if not self._steps:
            return float("nan"), float("nan"), float("nan")
        fooled = np.array([sum(int(self._judge(step)[0].sum()) for step in self._steps)])
        tried = np.array([self._state.tried])
        low, high = share_interval(fooled, tried)
        return float(fooled[0] / tried[0]), float(low[0]), float(high[0])

    def run(self, count: int | None = None) -> LiveSearch:
        """Try backgrounds in this thread, as a script does.

        Args:
            count: How many at most; None tries all that are left.
        """
        end = self._state.tried + (count if count is not None else len(self._state.left))
        while self._state.left.size and self._state.tried < end:
            self._advance(min(_STEP, end - self._state.tried))
        return self

    def cancel(self) -> None:
        """Stop a search that is running; what was tried is kept."""
        self._running.clear()

    def refine(self, budget: int = 200) -> Refinement:
        """Try the other attack on the worst backgrounds: move, scale, mirror and mix the object within a budget.

        Args:
            budget: Images to classify at most.

        Raises:
            BadInput: If nothing was tried yet.
        """
        table = self.results
        if table.empty:
            raise BadInput("expected some backgrounds to be tried before the worst are refined; start the search")
        criterion: Criterion = "any" if self.target == _TARGETS[0] else "targeted"
        if self.target not in _TARGETS:
            table = table.loc[table["label"] == self._session.prepared.scenes.classes.index(self.target)]
        columns = table["column"].to_list()[:_REFINED]
        self._refined = refine_attack(self._evaluator, self.scene, columns, criterion=criterion, budget=budget)
        return self._refined

    def figure(self) -> ShownFigure:
        """Draw the original and the worst background so far, with what the classifier says of both."""
        table = self.results
        worst = "own" if table.empty else f"scene:{table['background'].iloc[0]}"
        return draw(self._session, State(self.scene, worst))

    def close(self) -> None:
        """End the search, its explorer, and everything that belongs to them."""
        self.cancel()
        super().close()
        self.explorer.close()

    def retire(self) -> None:
        """Close, and let go of the classifier and of what was tried."""
        self.close()
        self._session.release()
        del self._evaluator, self._state
        self._steps.clear()

    # ---- the search

    def _judge(self, step: LiveStep) -> tuple[np.ndarray, np.ndarray]:
        """Say of each candidate whether it reaches the target, and how close it comes."""
        if self.target == _TARGETS[0]:
            return step.wrong, 1 - step.own_probability
        if self.target == _TARGETS[1]:
            return step.captured, step.target_probability
        wanted = self._session.prepared.scenes.classes.index(self.target)
        label = int(self._evaluator.foregrounds.labels[self._state.foreground])
        return (step.answers.predictions == wanted) & (wanted != label), step.answers.probabilities[:, wanted]

    def _advance(self, count: int) -> LiveStep:
        step = next(search_live_steps(self._evaluator, self._state, batch_size=count))
        self._steps.append(step)
        self._state = step.state
        return step

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        told = greeting(self._session, {"scene": self.scene, "target": self.target})
        self._reply(message, {"type": "hello", **told, "targets": self._targets})
        self._tell_progress(message)
        self._tell_items(message, self.results)

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        sheet = str(message["sheet"])
        self._reply(message, {"type": "thumbs", "sheet": sheet}, [self._sheets.jpeg("scene", sheet)])

    def _on_start(self, message: Message, _buffers: list[bytes]) -> None:
        """Begin, or go on where it was stopped."""
        if not self._running.is_set():
            self._running.set()
            self._receive(self, {**message, "type": "step"}, [])

    def _on_step(self, message: Message, _buffers: list[bytes]) -> None:
        """Try a few more and come back behind whatever is more urgent."""
        if not self._running.is_set() or not self._state.left.size:
            self._running.clear()
            self._tell_progress(message)
            return
        step = self._advance(_STEP)
        self._tell_items(message, self._table(step))
        self._tell_progress(message)
        self._receive(self, message, [])

    def _on_cancel(self, message: Message, _buffers: list[bytes]) -> None:
        self.cancel()
        self._tell_progress(message)

    def _on_choose(self, message: Message, _buffers: list[bytes]) -> None:
        """Take another foreground, or judge what was tried by another target."""
        if message.get("scene", self.scene) != self.scene:
            self.scene = str(message["scene"])
        self.target = str(message.get("target", self.target))
        self._reply(message, {"type": "clear"})
        self._tell_progress(message)
        self._tell_items(message, self.results)

    def _on_show(self, message: Message, _buffers: list[bytes]) -> None:
        """Show one background large, with prediction and Grad-CAM, beside the original."""
        self._show(message, State(self.scene, f"scene:{message['background']}"), "candidate")

    def _on_refine(self, message: Message, _buffers: list[bytes]) -> None:
        found = self.refine(int(message.get("budget", 200)))
        self._show(message, self._refined_state(found), "refined", {"forwards": found.forwards, "hit": found.succeeded})

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

    def _show(self, message: Message, state: State, place: str, more: dict[str, Any] | None = None) -> None:
        seen, before = self._session.look(state), self._session.original(state.scene)
        content, maps = answer_message(seen[:1], before[:1])
        images = [_png(self._session.image(shown).numpy()) for shown in (State(state.scene), state)]
        told = {"place": place, "state": asdict(state), "truth": self._session.label(state.scene)}
        original = b"" if before[0].saliency is None else before[0].saliency.astype(np.float32).tobytes()
        self._reply(message, {**content, **told, **(more or {}), "type": "shown"}, [*images, original, *maps])

    def _tell_progress(self, message: Message) -> None:
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

    def _tell_items(self, message: Message, table: Any) -> None:
        """Send tried backgrounds with thumbnails of the composed images."""
        for start in range(0, len(table), 48):
            part = table.iloc[start : start + 48]
            states = [State(self.scene, f"scene:{name}") for name in part["background"]]
            sprite = sheet_of([self._session.image(state).numpy() for state in states])
            items = [
                {
                    "id": row.background,
                    "score": round(float(cast(float, row.score)), 5),
                    "fooled": bool(row.fooled),
                    "said": f"{_named(int(cast(int, row.prediction)))} ({row.native})",
                    "of": _named(int(cast(int, row.label))),
                }
                for row in part.itertuples()
            ]
            self._reply(message, {"type": "items", "items": items, "scene": self.scene}, [sprite])

    def _caption(self) -> str:
        share, low, high = self.share
        if np.isnan(share):
            return f"{self.scene}: no background tried yet"
        tried = self._state.tried
        return f"{self.scene}: {100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}] of {tried} backgrounds fool"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the search, and keep a place below it for the explorer."""
        super()._ipython_display_(**options)
        self._placeholder = f"bglab-explorer-{self.model_id}"
        publish_display_data({"text/plain": ""}, transient={"display_id": self._placeholder})


def search_live(
    scene: str,
    classifier: Classifier,
    scenes: SceneSet | PreparedScenes,
    *,
    target: str = _TARGETS[0],
    protocol: Protocol | None = None,
    size: int = 224,
    seed: int = 0,
) -> LiveSearch:
    """Open the live search: watch backgrounds being tried on one foreground until one fools the classifier.

    Args:
        scene: Id of the foreground to begin with.
        classifier: Whom to fool.
        scenes: Whose foregrounds and tiled backgrounds to use; prepared at ``size`` unless they are already.
        target: ``any error``, ``the background's class``, or the name of a class.
        protocol: Which backgrounds are candidates; None is the release's challenge: all of them.
        size: Side of the images in pixels.
        seed: Of the explorer that opens what was found.

    Raises:
        UnknownName: If there is no such scene or target.
        BadInput: If the scenes' classes are not the nine, or the classifier cannot answer in them.
    """
    prepared = scenes if isinstance(scenes, PreparedScenes) else prepare(scenes, size)
    if prepared.scenes.space != "in9":
        raise BadInput(
            f"expected scenes labelled in the nine classes, got {prepared.scenes.name} ({prepared.scenes.space}); "
            "open the sample, cutouts, synthetic9 or in9: scenes"
        )
    return made_by_cell(LiveSearch(Session(prepared, [classifier], seed), scene, target, protocol or Protocol()))


def _named(label: int) -> str:
    return NINE_NAMES[label] if label != OUTSIDE else NINE_NAMES[-1]


def _png(levels: np.ndarray) -> bytes:
    with io.BytesIO() as buffer:
        Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()
