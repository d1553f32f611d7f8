"""What every widget of the lab shares: messages that never wait, errors that are shown, an image that stays."""

from __future__ import annotations

import base64
import os
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import anywidget
from IPython.core.getipython import get_ipython
from IPython.display import publish_display_data

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.figures import ShownFigure
from bglab.widgets.worker import Worker

_FOLDER = Path(__file__).parent

Message = Mapping[str, Any]


def module_of(parts: Sequence[str]) -> str:
    """Join parts into one ES module: a browser needs neither bundler nor network."""
    return "\n".join((_FOLDER / part).read_text(encoding="utf-8") for part in parts)


class LiveWidget(anywidget.AnyWidget):
    """A widget that answers messages ``{type, view, seq, …}`` by its methods ``_on_TYPE(message, buffers)``.

    Callbacks come on any thread of the kernel and only leave a job with a worker; what a job raises is shown in the
    view that asked and ends nothing.
    """

    #: How soon each type of message is answered; larger is sooner.
    urgency: ClassVar[Mapping[str, int]] = {}
    #: Types of which only the latest of a view counts.
    latest: ClassVar[frozenset[str]] = frozenset()
    #: Types that are answered beside the others, by a thread of their own.
    aside: ClassVar[frozenset[str]] = frozenset({"rest"})
    #: Types that are answered in the callback itself; their methods must take no time.
    at_once: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **traits: Any) -> None:
        name = type(self).__name__.lower()
        self._worker = Worker(f"bglab-{name}", self._note)
        self._aside = Worker(f"bglab-{name}-aside", self._note)
        self._still = ""
        super().__init__(**traits)
        self.on_msg(self._receive)
        if hasattr(self.comm, "_reply_subshell_for"):
            # ipykernel routes a widget's messages to the thread that wrote to it last, where a running cell would
            # hold them up; ours may come on any thread, so they may go where the front end sends them
            cast(Any, self.comm)._reply_subshell_for = lambda _data, subshell: subshell

    def close(self) -> None:
        """End the widget: its threads, its messages, its views and their layout."""
        self._worker.close()
        self._aside.close()
        if self.layout is not None:
            self.layout.close()
        super().close()

    @abstractmethod
    def retire(self) -> None:
        """Close for good and let go of the classifiers: IPython's ``Out`` keeps the widget itself alive."""

    def _receive(self, _widget: Any, message: Message, buffers: Sequence[Any]) -> None:
        """Leave a message with a worker."""
        kind, view = str(message.get("type")), str(message.get("view"))
        answer = getattr(self, f"_on_{kind}", None)
        if answer is None:
            return
        held = [bytes(buffer) for buffer in buffers]

        def job() -> None:
            try:
                answer(message, held)
            except (BadInput, MissingData, UnknownName) as problem:
                self._reply(message, {"type": "error", "text": str(problem)})
            except Exception as problem:
                self._reply(message, {"type": "error", "text": f"{type(problem).__name__}: {problem}"})
                raise

        if kind in self.at_once:
            answer(message, held)
            return
        key = f"{kind} {view}" if kind in self.latest else f"{kind} {view} {time.monotonic_ns()}"
        worker = self._aside if kind in self.aside else self._worker
        worker.post(key, job, urgency=self.urgency.get(kind, 0))

    def _reply(self, message: Message, content: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Answer the view that asked."""
        self.send({"view": message.get("view"), "seq": message.get("seq"), **content}, list(buffers))

    def _note(self, kind: str, problem: Exception) -> None:
        """Keep what went wrong where a developer finds it; the person has read it in the widget."""
        self.log.warning("%s failed: %s", kind.partition(" ")[0], problem)

    # ---- what a saved notebook keeps

    @abstractmethod
    def figure(self) -> ShownFigure:
        """Draw the current state."""

    @abstractmethod
    def _caption(self) -> str:
        """Say in one line what the image shows."""

    def _on_rest(self, _message: Message, _buffers: Sequence[bytes]) -> None:
        """Bring the image that a saved notebook shows up to date."""
        if self._still:
            publish_display_data(self._image(), transient={"display_id": self._still}, update=True)

    def _image(self) -> dict[str, str]:
        jpeg = self.figure()._repr_jpeg_() or b""
        return {"image/jpeg": base64.b64encode(jpeg).decode(), "text/plain": self._caption()}

    def _ipython_display_(self, **_options: Any) -> None:
        """Show the live widget and, for whoever reads the notebook without a kernel, an image of its last state.

        The widget hides the image as long as it is alive.
        """
        live = super()._repr_mimebundle_()
        bundle, metadata = live if isinstance(live, tuple) else (live, {})
        publish_display_data(cast(dict, bundle), cast(dict, metadata))
        if "voila" not in os.environ.get("SERVER_SOFTWARE", ""):  # a dashboard is not saved
            self._still = f"bglab-still-{self.model_id}"
            publish_display_data(self._image(), transient={"display_id": self._still})


Widget = TypeVar("Widget", bound=LiveWidget)

#: For each cell, the run that made widgets last, and what it made.
_BY_CELL: dict[str, tuple[str, list[LiveWidget]]] = {}


def made_by_cell(widget: Widget) -> Widget:
    """Retire what earlier runs of the running cell made: running it again must leave no widget and no memory behind."""
    shell: Any = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = str(parent.get("metadata", {}).get("cellId", ""))
    if cell:
        run = str(parent.get("header", {}).get("msg_id", ""))
        before, made = _BY_CELL.get(cell, (run, []))
        if before != run:
            for old in made:
                old.retire()
            made = []
        _BY_CELL[cell] = (run, [*made, widget])
    return widget
