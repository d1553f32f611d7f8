"""Base class of the widgets: messages that never block, errors that are shown, a snapshot for saved notebooks."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import anywidget
from IPython.core.getipython import get_ipython
from IPython.display import publish_display_data

from bglab.errors import EXPECTED_ERRORS, BadInput, printable
from bglab.figures import ShownFigure
from bglab.widgets.fields import Message as Message
from bglab.widgets.worker import Worker

_FOLDER = Path(__file__).parent

#: Seconds after which a widget's snapshot is drawn if no view has asked for it, which views do when they are idle.
_SNAPSHOT_DELAY_S = 10.0
_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./([\w-]+\.js)\";\n", re.MULTILINE)
#: Words with which the snapshot of a widget begins. VS Code makes them the image's alternative text, by which the
#: widget's style sheet finds the image there.
_SNAPSHOT = "bglab snapshot"


def module_of(entry: str) -> str:
    """Join a file and those that it imports into one ES module, so that a browser needs neither bundler nor network.

    Args:
        entry: Name of a file of this folder. Its exports are those of the module; top-level names of all files differ.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        for imported in _IMPORT.findall(_source(name)):
            if imported not in order:
                visit(imported)
        order.append(name)

    visit(entry)
    *before, last = (_IMPORT.sub("", _source(name)) for name in order)
    return "\n".join([*(re.sub(r"^export ", "", source, flags=re.MULTILINE) for source in before), last])


def style_of(parts: Sequence[str]) -> str:
    """Join style sheets of this folder."""
    return "\n".join(map(_source, parts))


def _source(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


class LiveWidget(anywidget.AnyWidget):
    """A widget whose methods ``_on_TYPE(message, buffers)`` handle messages ``{type, view, seq, …}``.

    Callbacks may run on any thread of the kernel and only queue a job for a worker. The error of a job is shown in the
    view that sent the message, and stops nothing else.
    """

    #: What the widget is, in words.
    title: ClassVar[str] = "widget"
    #: Urgency of each type of message; larger is handled sooner.
    urgency: ClassVar[Mapping[str, int]] = {}
    #: Types of which only the latest message of a view is handled.
    latest: ClassVar[frozenset[str]] = frozenset()
    #: Types that are handled by a second thread, in parallel with the others.
    parallel: ClassVar[frozenset[str]] = frozenset({"idle"})
    #: Types that are handled in the callback itself; their methods must return immediately.
    immediate: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **traits: Any) -> None:
        name = type(self).__name__.lower()
        self._worker = Worker(f"bglab-{name}", self._log)
        self._parallel_worker = Worker(f"bglab-{name}-parallel", self._log)
        self._snapshot_id = ""
        self._is_drawn = False
        super().__init__(**traits)
        self.on_msg(self._receive)
        if hasattr(self.comm, "_reply_subshell_for"):
            # ipykernel routes a widget's messages to the thread that wrote to it last, where a running cell would
            # delay them; ours may be handled on any thread, so they go where the front end sends them
            cast(Any, self.comm)._reply_subshell_for = lambda _data, subshell: subshell

    def __repr__(self) -> str:
        """Return the sentence that a saved notebook shows where it cannot show the widget."""
        return f"bglab {self.title}: {self._summary()}. Run this cell to use it."

    def close(self) -> None:
        """Close the widget: its threads, its comm, its views and their layout."""
        self._worker.close()
        self._parallel_worker.close()
        if self.layout is not None:
            self.layout.close()
        super().close()

    @abstractmethod
    def retire(self) -> None:
        """Close for good and release the classifiers, since IPython's ``Out`` keeps the widget itself alive."""

    def _receive(self, _widget: Any, message: Message, buffers: Sequence[Any]) -> None:
        """Queue a message for a worker."""
        if not isinstance(message, Mapping):
            return  # there is no view to tell
        kind, view = message.get("type"), str(message.get("view"))
        handle = getattr(self, f"_on_{kind}", None) if isinstance(kind, str) else None
        if not isinstance(kind, str) or handle is None:
            came = f"expected a message that the {self.title} knows, got {kind!r:.60}; reload the page"
            self._reply(message, {"type": "error", "text": printable(came)})
            return
        copies = [bytes(buffer) for buffer in buffers]

        def job() -> None:
            try:
                handle(message, copies)
            except EXPECTED_ERRORS as problem:
                self._reply(message, {"type": "error", "text": str(problem)})
            except Exception as problem:
                self._reply(message, {"type": "error", "text": f"{type(problem).__name__}: {problem}"})
                raise

        if kind in self.immediate or kind == "ping":
            handle(message, copies)
            return
        key = f"{kind} {view}" if kind in self.latest else f"{kind} {view} {time.monotonic_ns()}"
        worker = self._parallel_worker if kind in self.parallel else self._worker
        worker.post(key, job, urgency=self.urgency.get(kind, 0))

    def _reply(self, message: Message, content: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Reply to the view that sent a message."""
        view, seq = message.get("view"), message.get("seq")
        address = {"view": view if isinstance(view, str) else None, "seq": seq if isinstance(seq, int) else None}
        self.send({**address, **content}, list(buffers))

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take settings from a front end; those that are refused change nothing, and are set back there.

        Traitlets would keep a value that a validation refuses while notifications are held, as they are here.
        """
        try:
            self._check_settings(sync_data)
        except EXPECTED_ERRORS as problem:
            self.send({"view": None, "seq": None, "type": "error", "text": str(problem)})
            self.send_state([name for name in sync_data if self.has_trait(name)])
            return
        super().set_state(sync_data)

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings of a front end.

        Raises:
            UnknownName: If one names something unknown.
            BadInput: If one is out of range.
        """

    def _on_ping(self, message: Message, _buffers: Sequence[bytes]) -> None:
        """Tell a view that the kernel is there, whatever the worker is doing, and the comm by which to find it."""
        self._reply(message, {"type": "pong", "comm": self.model_id})

    def _log(self, kind: str, problem: Exception) -> None:
        """Log the error of a job for developers; users see it in the widget."""
        self.log.warning("%s failed: %s", kind.partition(" ")[0], problem)

    # ---- snapshot for saved notebooks

    @abstractmethod
    def figure(self) -> ShownFigure:
        """Draw the current state."""

    @abstractmethod
    def _caption(self) -> str:
        """Describe the current state in one line."""

    def _summary(self) -> str:
        """Describe what is shown, for `repr`."""
        return self._caption()

    def _on_idle(self, _message: Message, _buffers: Sequence[bytes]) -> None:
        """Update the snapshot that a saved notebook shows."""
        self._is_drawn = True
        if self._snapshot_id:
            publish_display_data(self._snapshot(), transient={"display_id": self._snapshot_id}, update=True)

    def _snapshot(self) -> dict[str, str]:
        figure = self.figure()
        jpeg = figure._repr_jpeg_()
        kind, content = ("png", figure._repr_png_() or b"") if jpeg is None else ("jpeg", jpeg)
        return {f"image/{kind}": base64.b64encode(content).decode(), "text/plain": f"{_SNAPSHOT}: {self._caption()}"}

    def _ipython_display_(self, **_options: Any) -> None:
        """Show the live widget, and a snapshot of its last state for readers without a kernel.

        The widget hides the snapshot while it is alive. In a front end the snapshot is drawn later, since the widget's
        first message may wait until the cell has run. Without one, as in nbconvert, it is drawn at once.
        """
        live = super()._repr_mimebundle_()
        bundle, metadata = live if isinstance(live, tuple) else (live, {})
        publish_display_data(cast(dict, bundle), cast(dict, metadata))
        if "voila" not in os.environ.get("SERVER_SOFTWARE", ""):  # a dashboard is not saved
            self._snapshot_id = f"bglab-snapshot-{self.model_id}"
            is_watched = bool(_current_cell()[0])
            shown = {"text/plain": self._caption()} if is_watched else self._snapshot()
            publish_display_data(shown, transient={"display_id": self._snapshot_id})
            if is_watched:
                threading.Thread(target=self._look_ahead, name="bglab-look-ahead", daemon=True).start()

    def _look_ahead(self) -> None:
        """Compute what the first view will ask for while it is being built, and draw a snapshot if none asks."""
        with contextlib.suppress(BadInput):  # views are told when they ask
            self._warm_up()
        time.sleep(_SNAPSHOT_DELAY_S)
        if not self._is_drawn:
            self._receive(self, {"type": "idle"}, [])

    def _warm_up(self) -> None:
        """Compute and cache what the first view will ask for."""


Widget = TypeVar("Widget", bound=LiveWidget)

#: For each cell, the latest run that made widgets, and these widgets.
_BY_CELL: dict[str, tuple[str, list[LiveWidget]]] = {}


def _current_cell() -> tuple[str, str]:
    """Return the ids of the current cell and of this run of it; "" where no front end runs it."""
    shell: Any = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return str(parent.get("metadata", {}).get("cellId", "")), str(parent.get("header", {}).get("msg_id", ""))


def made_by_cell(widget: Widget) -> Widget:
    """Retire the widgets of earlier runs of the current cell, since rerunning a cell must not use more memory.

    Args:
        widget: Widget that the current run made.

    Returns:
        The same widget.
    """
    cell, run = _current_cell()
    if cell:
        before, made = _BY_CELL.get(cell, (run, []))
        if before != run:
            for old in made:
                old.retire()
            made = []
        _BY_CELL[cell] = (run, [*made, widget])
    return widget
