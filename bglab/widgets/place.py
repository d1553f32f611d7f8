"""A place in the output of a cell, in which widgets are shown that are opened from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import uuid4

from IPython.display import publish_display_data

if TYPE_CHECKING:
    from bglab.widgets.live_widget import LiveWidget


class Place:
    """A place in the output of a cell that shows one widget at a time; widgets may share it.

    Nothing is shown before the place is reserved, as in a script.
    """

    def __init__(self) -> None:
        self._id = f"bglab-place-{uuid4().hex}"
        self._is_reserved = False
        self._shown: LiveWidget | None = None

    def reserve(self) -> None:
        """Reserve the place below what the cell has shown so far."""
        self._is_reserved = True
        publish_display_data({"text/plain": ""}, transient={"display_id": self._id})

    def show(self, widget: LiveWidget) -> None:
        """Show a widget instead of the one that is there, unless it is the same."""
        if self._is_reserved and self._shown is not widget:
            live = widget._repr_mimebundle_()
            bundle = live[0] if isinstance(live, tuple) else live
            publish_display_data(cast(dict, bundle), transient={"display_id": self._id}, update=True)
            self._shown = widget
