"""Pick a picture, swap its background, see what the classifier says: plain ipywidgets, redrawn by the kernel."""

from __future__ import annotations

import base64
import html
import threading
from io import BytesIO
from typing import Any

import ipywidgets
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bglab import figures, illustrations, pixels
from bglab.classifiers import Classifier
from bglab.datasets import scene_tensors
from bglab.errors import BadInput
from bglab.figures import ShownFigure
from bglab.inference import ask
from bglab.labels import IN9_NAMES, OUTSIDE
from bglab.prepared import PreparedScenes, prepare
from bglab.scenes import SceneSet
from bglab.variants import VARIANTS, given, render

#: Backgrounds offered before those of the other scenes.
_OFFERED = (
    "original",
    "on_own_tiled",
    "only_bg_t",
    "no_fg",
    "only_fg",
    "bg_blurred",
    "on_texture_mask",
    "on_white_mask",
)
_SHOWN_PX = 336


class BackgroundSwap(ipywidgets.VBox):
    """A picture, a background, and the classifier's answer to both; the first picture stays for comparison.

    Attributes:
        answer: The answer to what is shown now.
    """

    def __init__(self, scenes: SceneSet | PreparedScenes, classifier: Classifier) -> None:
        self._prepared = scenes if isinstance(scenes, PreparedScenes) else prepare(scenes, 224)
        if self._prepared.scenes.space != "in9":
            raise BadInput(
                f"expected scenes labelled in the nine classes, got {self._prepared.scenes.name} "
                f"({self._prepared.scenes.space}); open the sample, cutouts, synthetic9 or in9: scenes"
            )
        self._classifier = classifier
        self._tensors = scene_tensors(self._prepared)
        self._asked = -1  # position of the scene that ``original`` answers for
        self._lock = threading.Lock()  # the front end may call from a thread of its own
        self._scene = ipywidgets.Dropdown(options=self._scene_options(), description="Picture")
        self._background = ipywidgets.Dropdown(options=self._background_options(), description="Background")
        self._mix = ipywidgets.FloatSlider(
            value=1.0, min=0.0, max=1.0, step=0.01, description="Mix", readout_format=".0%"
        )
        self._picture = ipywidgets.Image(format="jpeg", width=_SHOWN_PX, height=_SHOWN_PX)
        self._bars = ipywidgets.HTML()
        for control in (self._scene, self._background, self._mix):
            control.layout.width = "420px"
            control.observe(self._redraw, names="value")
        self._redraw()
        controls = ipywidgets.VBox([self._scene, self._background, self._mix])
        shown = ipywidgets.HBox([self._picture, self._bars])
        super().__init__([controls, shown])

    def _scene_options(self) -> list[tuple[str, int]]:
        records = self._prepared.scenes.records
        return [(f"{IN9_NAMES[record.label]} · {record.id}", i) for i, record in enumerate(records)]

    def _background_options(self) -> list[tuple[str, str]]:
        variants = [(VARIANTS[name].title, name) for name in _OFFERED]
        lenders = [r for r, lends in zip(self._prepared.scenes.records, self._prepared.has_plate, strict=True) if lends]
        return variants + [(f"of {IN9_NAMES[r.label]} · {r.id}", f"scene:{r.id}") for r in lenders]

    def choose(self, scene: str, background: str = "original", mix: float = 1.0) -> BackgroundSwap:
        """Set what is shown from code, as the controls would.

        Args:
            scene: Id of the picture.
            background: Name of a variant, or ``scene:ID`` for another scene's background.
            mix: How much of the change is shown: 0 is the original, 1 the full swap.
        """
        self._scene.value = self._prepared.scenes.positions[scene]
        self._background.value = background
        self._mix.value = mix
        return self

    def _redraw(self, _change: Any = None) -> None:
        """Compose, classify and show the current choice."""
        with self._lock:
            position, background = int(self._scene.value or 0), str(self._background.value)
            if position != self._asked:  # a dragged slider changes the swap, never the original
                self.original = ask(self._classifier, self._compose(position, "original", 1.0))
                self._asked = position
            self.answer = ask(self._classifier, self._compose(position, background, self._mix.value))
            self._truth = self._prepared.scenes.records[position].label
            self._donor = self._donor_label(position, background)
            self._picture.value = _jpeg(self.answer.picture)
            self._bars.value = self._bars_html()

    def _compose(self, position: int, background: str, mix: float) -> UInt8[Tensor, "3 h w"]:
        """Render one scene on the chosen background, mixed with the original."""
        own = self._tensors.batch(slice(position, position + 1), "cpu")
        if background.startswith("scene:"):
            donor = self._prepared.scenes.positions[background.removeprefix("scene:")]
            swapped = render(given(background), own, self._tensors.batch(slice(donor, donor + 1), "cpu"))
        else:
            swapped = render(VARIANTS[background], own, own)
        amount = torch.full(swapped.shape[-2:], float(mix))
        return pixels.composite(swapped, own.images, amount)[0]

    def _donor_label(self, position: int, background: str) -> int:
        """Give the class of the background shown, or OUTSIDE if it has none of its own."""
        records = self._prepared.scenes.records
        if background.startswith("scene:"):
            return records[self._prepared.scenes.positions[background.removeprefix("scene:")]].label
        return OUTSIDE

    def _verdict(self) -> str:
        """Say in a few words what happened."""
        if self.answer.prediction == self._truth:
            return "✓ right"
        if self.answer.prediction == self._donor:
            return "✗ captured by the background"
        return "✗ wrong"

    def _bars_html(self) -> str:
        """Draw the nine probabilities as bars, with the original's as a mark."""
        names = (*IN9_NAMES, illustrations.OUTSIDE_NAME)
        rows = []
        for label, (name, now, before) in enumerate(
            zip(names, self.answer.probabilities, self.original.probabilities, strict=True)
        ):
            color = figures.color_of(name) if label < len(IN9_NAMES) else "#999999"
            marks = " (true)" if label == self._truth else " (background)" if label == self._donor else ""
            rows.append(
                f'<tr><td style="text-align:right;padding-right:8px">{html.escape(name + marks)}</td>'
                '<td style="width:220px"><div style="position:relative;height:14px">'
                f'<div style="position:absolute;height:14px;width:{100 * now:.1f}%;background:{color}"></div>'
                f'<div style="position:absolute;left:{100 * before:.1f}%;height:14px;border-left:2px solid '
                'var(--jp-ui-font-color1,#333)"></div></div></td>'
                f'<td style="padding-left:8px">{100 * now:.0f} %</td></tr>'
            )
        decided = (*IN9_NAMES, illustrations.OUTSIDE_NAME)[self.answer.prediction]
        answer = f"{decided} ({html.escape(self.answer.native)}, {100 * self.answer.confidence:.0f} %)"
        return (
            f'<div style="margin-left:16px;line-height:1.35"><b>{self._verdict()}</b> · {answer}'
            f"<table>{''.join(rows)}</table><small>Bars: this picture. Line: the original.</small></div>"
        )

    def figure(self) -> ShownFigure:
        """Draw the current state as a figure that stays in a saved notebook."""
        shown = [("Original", self.original), (self._background.label, self.answer)]
        return illustrations.draw_answers(shown, truth=IN9_NAMES[self._truth])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the live widget where a kernel answers, and a picture of its state where none does."""
        live = super()._repr_mimebundle_(**options)
        picture = self.figure()._repr_jpeg_() or b""
        return {**(live if isinstance(live, dict) else {}), "image/jpeg": base64.b64encode(picture).decode()}


def _jpeg(picture: UInt8[Tensor, "3 h w"]) -> bytes:
    """Encode a picture for display, enlarged to a size a person can see."""
    shown = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.BICUBIC)
    with BytesIO() as buffer:
        shown.save(buffer, format="JPEG", quality=90)
        return buffer.getvalue()
