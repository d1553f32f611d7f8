"""The explorer: swap a background and see at once how predictions and saliency change.

The browser composes on a canvas without waiting for the kernel. The kernel composes the same image by
`bglab.images.composite` and classifies it, one request at a time.
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
from bglab.figures import ShownFigure, venue_names
from bglab.images import Box, ImageSource
from bglab.labels import OUTSIDE
from bglab.locations import Place
from bglab.models import ClassifierLike, as_classifiers
from bglab.scenes import ScenesLike, ScenesOnDemand, open_on_demand
from bglab.variants import Variant
from bglab.widgets import export, fields
from bglab.widgets.capture import CaptureSearch, CaptureWidget
from bglab.widgets.inspection import Inspection
from bglab.widgets.live_widget import Message, made_by_cell, module_of, style_of
from bglab.widgets.messages import Sheets, greeting, result_message, texture_sheet, uploads
from bglab.widgets.session import Session
from bglab.widgets.state import FIELDS, State
from bglab.widgets.uploads import as_source
from bglab.widgets.web_page import MAX_MB, MIXES, PageChoice, build_page, write_page

#: Farthest corner of a box, as a multiple of the image's side: a pointer leaves the canvas.
_FARTHEST = 100.0
_MIME = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png", "csv": "text/csv", "html": "text/html"}


class Explorer(CaptureWidget):
    """An image on a chosen background, with predictions and saliency; made by `explore`.

    Every setting is a trait, so code can read and set whatever the controls set; `State` describes each of them.
    """

    _esm = module_of("explorer.js")
    _css = style_of(["explorer.css", "strip.css", "capture.css"])

    title = "explorer"
    urgency = {"hello": 4, "layers": 3, "inspect": 2, "correctness": -1, "capture_step": -1}
    latest = frozenset({"layers", "inspect", "idle", "capture_step"})
    parallel = frozenset({"export", "idle", "thumbs"})
    immediate = frozenset({"stop_capture"})

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
        self._sheets = Sheets(session.images)
        self._capture_search = CaptureSearch(session)
        self._beginning: dict[str, Any] | None = None
        super().__init__(**{name: getattr(state, name) for name in FIELDS})

    @traitlets.validate(*FIELDS)
    def _check(self, proposal: Any) -> Any:
        """Refuse a value out of range, as `State` does."""
        name, value = proposal["trait"].name, proposal["value"]
        self._session.check(State(self.scene or value).but({name: value}))
        return value

    # ---- for code in other cells

    @property
    def state(self) -> dict[str, Any]:
        """Every setting by name; assign a mapping to set several of them together.

        Raises:
            UnknownName: If there is no such setting.
            BadInput: If a value is out of range; then no setting changes.
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
        return self._session.renderer.variant(State(**self.state))

    @property
    def inspections(self) -> tuple[Inspection, ...]:
        """Prediction and saliency of each classifier for the current state."""
        return self._session.inspector.inspect(State(**self.state))

    @property
    def forwards(self) -> int:
        """Number of forward passes so far."""
        return self._session.inspector.forwards

    @property
    def numbers(self) -> pd.DataFrame:
        """Every number shown, one row per model and class; see `bglab.widgets.export.table`."""
        return export.table(self._session, State(**self.state))

    def figure(self, venue: str = "notebook") -> ShownFigure:
        """Draw the current state in a venue's column width and fonts; save it with `bglab.figures.save`.

        Args:
            venue: Name of one of `bglab.figures.VENUES`; ``-full`` after it spans both columns.

        Raises:
            UnknownName: If there is no such venue.
        """
        return export.draw(self._session, State(**self.state), venue)

    def code(self) -> str:
        """Write the cell that reproduces the current state."""
        return export.code(self._session, State(**self.state))

    def add_image(
        self,
        source: str | ImageSource | np.ndarray,
        *,
        box: Box | None = None,
        label: str = "",
        name: str = "",
    ) -> str:
        """Add your own image and show it.

        Args:
            source: Path of a file; its bytes, also as a bytearray or memoryview, as upload widgets give them; an image
                of Pillow; or an array of uint8 of shape (h, w, 3), (h, w, 4) with alpha, or (h, w) for grey.
                Transparency becomes the mask.
            box: Box around the object for GrabCut, ``(x0, y0, x1, y1)`` in pixels of the file; without it, draw the
                box in the widget.
            label: Name of one of the classes that are shown: the nine, or the scenes' own; "" if unknown.
            name: Name under which the image appears; the file's by default.

        Returns:
            Id of the image.

        Raises:
            BadInput: If it is not an image, or GrabCut finds nothing in the box.
            UnknownName: If there is no such class.
        """
        names = self._session.display.names
        if label and label not in names:
            raise UnknownName(unknown_name("class", label, names))
        content = as_source(source)
        shown = name or (content.stem if isinstance(content, Path) else "image")
        number = names.index(label) if label else OUTSIDE
        key = self._session.images.add(content, shown, box=box, label=number)
        self.state = {"scene": key, "background": "own"}
        self._send_uploads()
        return key

    def save_mask(self, path: Path | str | None = None) -> Path:
        """Save the mask of the current scene, edited or not, as a PNG of two levels.

        The file has the size of the scene's image: what was edited is transferred to it, and the rest keeps its
        resolution, beyond the crop that is shown, too. Open the set again to use the mask.

        Args:
            path: File to write; by default that in ``masks`` of a ``folder:`` set, whose mask is replaced. An uploaded
                image needs a path; its mask has the size of the square that is shown.

        Returns:
            The path of the file.

        Raises:
            BadInput: If a path is needed, the scene's mask is in a file that holds more than it, or the file cannot be
                written.
        """
        target = None if path is None else Path(path).expanduser()
        return self._session.images.save_mask(self.scene, target)

    def export_html(
        self,
        path: Place | str,
        *,
        scenes: Sequence[str] | None = None,
        backgrounds: Sequence[str] | None = None,
        mixes: Sequence[float] = MIXES,
        title: str = "",
        caption: str = "",
        max_mb: float = MAX_MB,
        progress: bool = True,
    ) -> Place:
        """Write an interactive figure as one HTML file, which needs neither a kernel nor a network.

        Readers choose an image, a background and a classifier, and drag the mix. Mask, position, blur and brightness
        stay as they are now. Every answer is computed beforehand: one image per scene, background and mix, for each
        classifier. The page shows answers at these mixes only, and says how they were made. Its address can name what
        it shows: ``figure.html#scene=…&background=…&mix=0.35``.

        Args:
            path: File to write, or its URL.
            scenes: Ids of images, uploads among them; by default the current one.
            backgrounds: Backgrounds as the setting ``background`` has them; by default the current one.
            mixes: Stops of the slider in [0, 1].
            title: Title of the page.
            caption: Text below the figure.
            max_mb: Largest page in megabytes. A set of 6 scenes on the backgrounds of 8 others takes about 1.5.
            progress: Whether to show a progress bar, at the end with the size of the page.

        Returns:
            The path of the file.

        Raises:
            UnknownName: If there is no such scene or background.
            BadInput: If a setting is out of range, the page would be too large, or the file cannot be written.
        """
        state = State(**self.state)
        choice = PageChoice(
            [state.scene] if scenes is None else scenes,
            [state.background] if backgrounds is None else backgrounds,
            mixes, title, caption,
        )  # fmt: skip
        return write_page(self._session, state, path, choice, max_mb=max_mb, progress=progress)

    def retire(self) -> None:
        """Close, and release the classifiers."""
        self.close()
        self._session.inspector.release()

    # ---- messages from the browser

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        self._beginning = self._beginning or self.state  # as it is first shown; the button "Reset" returns to it
        self._reply(message, {"type": "hello", **greeting(self._session, self.state), "beginning": self._beginning})
        self._show_capture_again(message)

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        kind, sheet = fields.text(message, "kind"), fields.text(message, "sheet")
        jpeg = texture_sheet(self._session, sheet) if kind == "texture" else self._sheets.jpeg(kind, sheet)
        self._reply(message, {"type": "thumbs", "kind": kind, "sheet": sheet}, [jpeg])

    def _on_layers(self, message: Message, _buffers: list[bytes]) -> None:
        scene, background = fields.text(message, "scene"), fields.text(message, "background")
        self._session.check(State(scene, background))
        try:
            made = self._session.renderer.layers(scene, background)
        except BadInput:
            self._send_unusable()
            raise
        planes = [made.image, made.front, made.alpha.byte(), made.plate]
        self._reply(
            message,
            {
                "type": "layers",
                "scene": scene,
                "donor": made.donor,
                "donor_label": made.donor_label,
                "truth": self._session.images.label(scene),
            },
            [plane.contiguous().numpy().tobytes() for plane in planes],
        )

    def _on_inspect(self, message: Message, _buffers: list[bytes]) -> None:
        started = time.perf_counter()
        wanted, inspector = self._session.state_of(fields.settings(message)), self._session.inspector
        inspections, originals = inspector.inspect(wanted), inspector.inspect_original(wanted.scene)
        content, maps = result_message(self._session.display, inspections, originals)
        elapsed_ms = 1000 * (time.perf_counter() - started)
        content |= {"state": fields.settings(message), "ms": round(elapsed_ms, 1), "forwards": self.forwards}
        self._reply(message, content, maps)

    def _on_correctness(self, message: Message, _buffers: list[bytes]) -> None:
        """Classify all photographs a few at a time, so that more urgent messages are handled in between."""
        done, correctness = self._session.inspector.classify_next()
        total = len(self._session.images.scenes)
        self._reply(message, {"type": "correctness", "correctness": correctness, "done": done, "total": total})
        if done < total:
            self._receive(self, dict(message), [])
        else:
            self._send_unusable()

    def _on_upload(self, message: Message, buffers: list[bytes]) -> None:
        image, name = fields.content(message, buffers), fields.text(message, "name")
        key = self._session.images.add(image, name)
        self._send_uploads({"scene": key, "background": "own"}, "box")

    def _on_upload_background(self, message: Message, buffers: list[bytes]) -> None:
        image, name = fields.content(message, buffers), fields.text(message, "name")
        key = self._session.images.add_background(image, name)
        self._send_uploads({"background": f"image:{key}"})

    def _on_cut(self, message: Message, _buffers: list[bytes]) -> None:
        scene, box = fields.text(message, "scene"), fields.numbers(message, "box", 4, _FARTHEST)
        key = self._session.images.editable(scene)
        self._session.images.uploads.cut(key, box)
        self._session.inspector.forget(key)
        self._send_uploads({"scene": key}, "brush")

    def _on_edit_mask(self, message: Message, buffers: list[bytes]) -> None:
        size = self._session.images.size
        marked = fields.content(message, buffers, size * size)
        mask = np.frombuffer(marked, dtype=np.uint8).reshape(size, size) > 0
        key = self._session.images.editable(fields.text(message, "scene"))
        self._session.images.uploads.set_mask(key, mask)
        self._session.inspector.forget(key)
        self._send_uploads({"scene": key})

    def _on_label(self, message: Message, _buffers: list[bytes]) -> None:
        images = self._session.images
        key = fields.one_of(message, "scene", list(images.uploads))
        label = fields.whole(message, "label", OUTSIDE, len(images.display.names) - 1)
        images.uploads.set_label(key, label)
        self._session.inspector.forget(key)
        self._send_uploads({"scene": key})

    def _on_export(self, message: Message, _buffers: list[bytes]) -> None:
        kind, state = fields.one_of(message, "format", ("cutout", *_MIME)), State(**self.state)
        name = export.file_stem(self._session, state)
        if kind == "cutout":
            content, kind, name = _png(self._session.images.cutout(state.scene)), "png", f"{name}-cutout"
        elif kind == "csv":
            content = export.table(self._session, state).to_csv(index=False).encode()
        elif kind == "html":
            choice = PageChoice([state.scene], [state.background])
            content = build_page(self._session, state, choice, progress=False).encode()
        else:
            venue = fields.one_of(message, "venue", list(venue_names()))
            content = export.figure_bytes(self._session, state, venue, kind)
        self._reply(message, {"type": "file", "name": f"{name}.{kind}", "mime": _MIME[kind]}, [content])

    def _on_code(self, message: Message, _buffers: list[bytes]) -> None:
        self._reply(message, {"type": "code", "code": self.code()})

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        chosen = {name: value for name, value in settings.items() if name in FIELDS}
        if chosen:
            self._session.state_of(self.state | chosen)

    def _send_uploads(self, state: dict[str, Any] | None = None, mode: str = "") -> None:
        """Send all views the current uploads, with settings and a tool that they should change to."""
        self.send({"type": "uploads", **uploads(self._session.images), "state": state, "mode": mode})

    def _send_unusable(self) -> None:
        """Tell all views which scenes turned out to be unusable."""
        if self._session.images.unusable:
            self.send({"type": "unusable", "scenes": list(self._session.images.unusable)})

    def _warm_up(self) -> None:
        self._session.inspector.inspect_original(self.scene)

    def _caption(self) -> str:
        return export.caption(self._session, self.state)

    def _summary(self) -> str:
        return export.summary(self._session, State(**self.state))


def explore(
    scenes: ScenesLike,
    classifier: ClassifierLike | Sequence[ClassifierLike],
    *,
    size: int = 224,
    seed: int = 0,
    **settings: Any,
) -> Explorer:
    """Open the explorer: pick an image, swap its background, and see predictions and saliency change.

    Predictions are shown in the nine classes of ImageNet-9 if the scenes' labels map to them. Otherwise they are shown
    in the scenes' own classes if a classifier predicts these, in whatever order: ``bglab.classifier(network,
    classes=scenes)``. A classifier of other classes is shown with its most probable ones, without correctness.

    Args:
        scenes: Scenes to explore, a URI for `open_scenes`, or a folder; prepared at ``size`` unless they already are.
            Of a large set of photographs that is not in the cache, each scene is prepared when it is chosen.
        classifier: One or more classifiers, shown side by side, or what stands for them: URIs, paths of checkpoints,
            torch modules.
        size: Side of the images in pixels.
        seed: Seed for donors, textures, noise and GrabCut.
        settings: Initial settings, by the names of `bglab.widgets.state.State`: ``scene="…", mix=0.5``.

    Raises:
        UnknownName: If a setting, scene or background is unknown.
        BadInput: If a setting is out of range, the scene cannot be used, or there is no classifier.
    """
    classifiers = as_classifiers(classifier)
    if not classifiers:
        raise BadInput("expected at least one classifier, got none; load one with bglab.load_classifier")
    source = open_on_demand(scenes, size)
    session = Session(source, classifiers, seed)
    first = source.scenes.ids[0]
    if isinstance(source, ScenesOnDemand) and "scene" not in settings:
        first = source.first_usable()
    state = State(first).but(settings)
    session.check(state)
    session.images.batch(state.scene)  # a scene that cannot be used is refused here, not in the widget
    return made_by_cell(Explorer(session, state))


def _png(image: Image.Image) -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        return buffer.getvalue()
