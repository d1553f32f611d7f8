"""The explorer: swap a background and watch the classifier react, at the speed of the hand.

The browser composes on a canvas at once; the kernel is asked only what classifiers make of it, one request at a
time, and composes the same image by `bglab.images.composite`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from PIL import Image

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.figures import ShownFigure
from bglab.images import Box
from bglab.labels import OUTSIDE
from bglab.models import Classifier
from bglab.scenes import PreparedScenes, SceneSet, prepare
from bglab.variants import Variant
from bglab.widgets import export
from bglab.widgets.live_widget import LiveWidget, Message, made_by_cell, module_of
from bglab.widgets.messages import Sheets, answer_message, greeting
from bglab.widgets.session import NINE_NAMES, Seen, Session
from bglab.widgets.state import FIELDS, State

#: The parts of the ES module, in order.
PARTS = ("controls.js", "composer.js", "answers.js", "stage.js", "explorer.js")
_MIME = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png", "csv": "text/csv"}


class Explorer(LiveWidget):
    """An image, a background, and what classifiers say of it; made by `explore`.

    Every setting is a trait of its own, so code can read and set what a hand sets; see `State` for what each means.
    """

    _esm = module_of(PARTS)
    _css = module_of(["explorer.css"])

    urgency = {"hello": 4, "layers": 3, "ask": 2, "verdicts": -1}
    latest = frozenset({"layers", "ask", "rest"})
    aside = frozenset({"keep", "rest", "thumbs"})

    scene = traitlets.Unicode().tag(sync=True)
    background = traitlets.Unicode("own").tag(sync=True)
    mix = traitlets.Float(1.0).tag(sync=True)
    background_blur = traitlets.Float(0.0).tag(sync=True)
    brightness = traitlets.Float(1.0).tag(sync=True)
    feather = traitlets.Float(0.0).tag(sync=True)
    grow = traitlets.Int(0).tag(sync=True)
    dx = traitlets.Float(0.0).tag(sync=True)
    dy = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    flip = traitlets.Bool(False).tag(sync=True)  # noqa: FBT003 - the default of a trait
    saliency_opacity = traitlets.Float(0.0).tag(sync=True)
    target = traitlets.Unicode("predicted").tag(sync=True)
    model = traitlets.Int(0).tag(sync=True)

    def __init__(self, session: Session, state: State) -> None:
        self._session = session
        self._sheets = Sheets(session)
        super().__init__(**{name: getattr(state, name) for name in FIELDS})

    @traitlets.validate(*FIELDS)
    def _check(self, proposal: Any) -> Any:
        """Refuse a value out of its range, as `State` does."""
        name, value = proposal["trait"].name, proposal["value"]
        self._session.check(State(self.scene or value).but({name: value}))
        return value

    # ---- for the next cell

    @property
    def state(self) -> dict[str, Any]:
        """Every setting by name; assign a mapping to set some of them at once.

        Raises:
            UnknownName: If a name is no setting.
            BadInput: If a value is out of range; then nothing is changed.
        """
        return {name: getattr(self, name) for name in FIELDS}

    @state.setter
    def state(self, settings: Mapping[str, Any]) -> None:
        wanted = State(**self.state).but(settings)
        self._session.check(wanted)
        with self.hold_sync():
            for name in settings:
                setattr(self, name, getattr(wanted, name))

    @property
    def variant(self) -> Variant:
        """The current choice as a variant: ``bglab.predict(classifier, bglab.compose(scenes, explorer.variant))``."""
        return self._session.variant(State(**self.state))

    @property
    def answers(self) -> tuple[Seen, ...]:
        """What each classifier makes of the current state."""
        return self._session.look(State(**self.state))

    @property
    def forwards(self) -> int:
        """How often an image was put to a classifier so far."""
        return self._session.forwards

    @property
    def numbers(self) -> pd.DataFrame:
        """Every number shown, one row a model and class; see `bglab.widgets.export.table`."""
        return export.table(self._session, State(**self.state))

    def figure(self, venue: str = "notebook") -> ShownFigure:
        """Draw the current state at a venue's width and in its fonts; write it with `bglab.figures.save`.

        Args:
            venue: One of `bglab.figures.VENUES`.

        Raises:
            UnknownName: If there is no such venue.
        """
        return export.draw(self._session, State(**self.state), venue)

    def code(self) -> str:
        """Write the cell that shows the current state again."""
        return export.code(self._session, State(**self.state))

    def add_image(self, source: Path | str | bytes, *, box: Box | None = None, label: str = "", name: str = "") -> str:
        """Take in an image of your own and show it.

        Args:
            source: A file or its bytes; transparency becomes the mask.
            box: Around the object, ``(x0, y0, x1, y1)`` in pixels of the file, for GrabCut; draw it in the widget
                if it is left out.
            label: One of the nine classes; "" leaves it open.
            name: Under which it appears; by default the file's.

        Returns:
            Its id.

        Raises:
            BadInput: If it is no image, or GrabCut finds nothing in the box.
            UnknownName: If there is no such class.
        """
        if label and label not in NINE_NAMES[:9]:
            raise UnknownName(unknown_name("class", label, NINE_NAMES[:9]))
        held = source if isinstance(source, bytes) else Path(source)
        shown = name or (held.stem if isinstance(held, Path) else "image")
        number = NINE_NAMES.index(label) if label else OUTSIDE
        taken = self._session.prepared.scenes.positions
        key = self._session.own.add(held, shown, box=box, label=number, taken=taken)
        self.state = {"scene": key, "background": "own"}
        self._send_images()
        return key

    def retire(self) -> None:
        """Close, and let go of the classifiers."""
        self.close()
        self._session.release()

    # ---- what the browser asks

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        self._reply(message, {"type": "hello", **greeting(self._session, self.state)})

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        kind, sheet = str(message["kind"]), str(message["sheet"])
        self._reply(message, {"type": "thumbs", "kind": kind, "sheet": sheet}, [self._sheets.jpeg(kind, sheet)])

    def _on_layers(self, message: Message, _buffers: list[bytes]) -> None:
        scene, background = str(message["scene"]), str(message["background"])
        State(scene, background)
        made = self._session.layers(scene, background)
        planes = [made.image, made.front, made.alpha.byte(), made.plate]
        self._reply(
            message,
            {
                "type": "layers",
                "scene": scene,
                "donor": made.donor,
                "donor_label": made.donor_label,
                "truth": self._session.label(scene),
            },
            [plane.contiguous().numpy().tobytes() for plane in planes],
        )

    def _on_ask(self, message: Message, _buffers: list[bytes]) -> None:
        started = time.perf_counter()
        wanted = State(**message["state"])
        answers, original = self._session.look(wanted), self._session.original(wanted.scene)
        content, maps = answer_message(answers, original)
        elapsed_ms = 1000 * (time.perf_counter() - started)
        content |= {"state": dict(message["state"]), "ms": round(elapsed_ms, 1), "forwards": self.forwards}
        self._reply(message, content, maps)

    def _on_verdicts(self, message: Message, _buffers: list[bytes]) -> None:
        """Classify all photographs a few at a time, so that whatever is more urgent goes between."""
        done, verdicts = self._session.judge_some()
        total = len(self._session.prepared)
        self._reply(message, {"type": "verdicts", "verdicts": verdicts, "done": done, "total": total})
        if done < total:
            self._receive(self, dict(message), [])

    def _on_upload(self, message: Message, buffers: list[bytes]) -> None:
        taken = self._session.prepared.scenes.positions
        key = self._session.own.add(buffers[0], str(message["name"]), taken=taken)
        self._send_images({"scene": key, "background": "own"}, "box")

    def _on_upload_background(self, message: Message, buffers: list[bytes]) -> None:
        key = self._session.add_background(buffers[0], str(message["name"]))
        self._send_images({"background": f"image:{key}"})

    def _on_cut(self, message: Message, _buffers: list[bytes]) -> None:
        key = self._session.take_own(str(message["scene"]))
        self._session.own.cut(key, [float(v) for v in message["box"]])
        self._session.forget(key)
        self._send_images({"scene": key}, "brush")

    def _on_mend(self, message: Message, buffers: list[bytes]) -> None:
        size = self._session.size
        mask = np.frombuffer(buffers[0], dtype=np.uint8).reshape(size, size) > 0
        key = self._session.take_own(str(message["scene"]))
        self._session.own.mend(key, mask)
        self._session.forget(key)
        self._send_images({"scene": key})

    def _on_label(self, message: Message, _buffers: list[bytes]) -> None:
        key = str(message["scene"])
        self._session.own.set_label(key, int(message["label"]))
        self._session.forget(key)
        self._send_images({"scene": key})

    def _on_keep(self, message: Message, _buffers: list[bytes]) -> None:
        kind, state = str(message["format"]), State(**self.state)
        name = export.file_stem(self._session, state)
        if kind == "cutout":
            content, kind, name = _png(self._session.cutout(state.scene)), "png", f"{name}-cutout"
        elif kind == "csv":
            content = export.table(self._session, state).to_csv(index=False).encode()
        else:
            content = export.figure_bytes(self._session, state, str(message["venue"]), kind)
        self._reply(message, {"type": "file", "name": f"{name}.{kind}", "mime": _MIME[kind]}, [content])

    def _on_code(self, message: Message, _buffers: list[bytes]) -> None:
        self._reply(message, {"type": "code", "code": self.code()})

    def _send_images(self, state: dict[str, Any] | None = None, mode: str = "") -> None:
        own = [[key, place, self._session.own[key].label] for place, key in enumerate(self._session.own)]
        images = list(self._session.backgrounds)
        self.send({"type": "images", "own": own, "images": images, "state": state, "mode": mode})

    def _caption(self) -> str:
        return export.caption(self._session, self.state)


def explore(
    scenes: SceneSet | PreparedScenes,
    classifier: Classifier | Sequence[Classifier],
    *,
    size: int = 224,
    seed: int = 0,
    **settings: Any,
) -> Explorer:
    """Open the explorer: pick an image, swap its background, watch predictions and saliency react.

    Args:
        scenes: What to explore; prepared at ``size`` unless it is already.
        classifier: Whom to ask; several stand side by side.
        size: Side of the images in pixels.
        seed: Of donors, textures, noise and GrabCut.
        settings: What to begin with, by the names of `bglab.widgets.state.State`: ``scene="…", mix=0.5``.

    Raises:
        UnknownName: If a setting, scene or background is unknown.
        BadInput: If a setting is out of range, or there is nobody to ask.
    """
    classifiers = [classifier] if isinstance(classifier, Classifier) else list(classifier)
    if not classifiers:
        raise BadInput("expected at least one classifier to ask, got none; see bglab.load_classifier")
    prepared = scenes if isinstance(scenes, PreparedScenes) else prepare(scenes, size)
    session = Session(prepared, classifiers, seed)
    state = State(prepared.scenes.ids[0]).but(settings)
    session.check(state)
    return made_by_cell(Explorer(session, state))


def _png(image: Image.Image) -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        return buffer.getvalue()
