"""The browser of predictions: which images are behind a number, and the number of the images that are chosen.

The kernel filters and computes the metric by `bglab.analysis`; the page has the columns of all rows, and is sent the
positions of those that a filter selects.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import traitlets

from bglab.analysis import FILTER_FIELDS, FLIPS, ORDERS, OUTSIDE_NAME, RowFilter, RowIndex, with_class_names
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.figures import ShownFigure
from bglab.widgets import fields
from bglab.widgets.explorer import Explorer
from bglab.widgets.live_widget import LiveWidget, Message, module_of, style_of
from bglab.widgets.messages import PER_ROW, PER_SHEET, colour_table, sheet_of
from bglab.widgets.place import Place
from bglab.widgets.row_detail import RowDetail
from bglab.widgets.row_images import RowImages
from bglab.widgets.selection_figure import draw_selection
from bglab.widgets.selection_text import OUTCOME_WORDS, code, reference_words, say, variant_title
from bglab.widgets.session import Session

#: Side of a thumbnail in pixels.
_SIDE = 96
#: Longest time in seconds for which thumbnails pause at a time.
_LONGEST_PAUSE_S = 0.25
#: Classes that the confusion matrix on the page has room for.
_MOST_CLASSES = 9


class PredictionBrowser(LiveWidget):
    """A prediction table as images; made by `browse`.

    Every filter is a trait, named as the fields of `bglab.analysis.RowFilter`, so that code can set what controls set.

    Attributes:
        row: Position in the table of predictions of the row that is shown in detail; -1 for none.
        explorer: Explorer in which images are opened; None without scenes or without a classifier.
    """

    _esm = module_of("browse.js")
    _css = style_of(["explorer.css", "strip.css", "browse.css"])

    title = "predictions"
    urgency = {"hello": 4, "filter": 3, "show": 2, "thumbs": 1}
    latest = frozenset({"filter", "show", "idle"})
    parallel = frozenset({"idle", "thumbs", "show", "open", "export"})

    dataset = traitlets.Unicode("").tag(sync=True)
    variant = traitlets.Unicode("").tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    outcome = traitlets.Unicode("").tag(sync=True)
    compared_with = traitlets.Unicode("").tag(sync=True)
    true_class = traitlets.Unicode("").tag(sync=True)
    predicted_class = traitlets.Unicode("").tag(sync=True)
    least_confidence = traitlets.Float(0.0).tag(sync=True)
    most_confidence = traitlets.Float(1.0).tag(sync=True)
    order = traitlets.Unicode("margin").tag(sync=True)
    row = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        table: pd.DataFrame,
        index: RowIndex,
        images: RowImages,
        detail: RowDetail,
        *,
        several: bool = False,
        place: Place | None = None,
    ) -> None:
        self._table, self._index, self._images, self._detail = table, index, images, detail
        self._several, self._place = several, place or Place()
        self._undisturbed = threading.Event()
        self._undisturbed.set()
        self._known_rows = frozenset(index.table["row"].tolist())
        super().__init__()
        session = detail.session
        can_open = session is not None and bool(session.inspector.classifiers) and images.count > 0
        first = int(np.flatnonzero(images.missing < 0)[0]) if can_open else -1
        self.explorer = Explorer(cast(Session, session), images.state(first)) if can_open else None

    @traitlets.validate(*FILTER_FIELDS, "row")
    def _check(self, proposal: Any) -> Any:
        self._check_settings({proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name in FILTER_FIELDS[:7]:
            if name in settings and not isinstance(settings[name], str):
                raise BadInput(f"expected {name} as text, got {settings[name]!r:.60}")
        row = settings.get("row", -1)
        if isinstance(row, bool) or not isinstance(row, int) or (row != -1 and row not in self._known_rows):
            raise BadInput(
                f"expected row as the position of one of {len(self._table):,} predictions, with a known true class, or "
                f"-1, got {row!r:.60}"
            )
        self._index.check(self._filter.but({name: settings[name] for name in settings if name in FILTER_FIELDS}))

    @property
    def _filter(self) -> RowFilter:
        return RowFilter(**{name: getattr(self, name) for name in FILTER_FIELDS})

    # ---- for code in other cells

    @property
    def state(self) -> dict[str, Any]:
        """Every filter by name; assign a mapping to set several of them together.

        Raises:
            UnknownName: If there is no such filter, or it names something that the table does not have.
            BadInput: If a value is out of range; then nothing changes.
        """
        return {name: getattr(self, name) for name in FILTER_FIELDS}

    @state.setter
    def state(self, settings: Mapping[str, Any]) -> None:
        wanted = self._filter.but(settings)
        self._index.check(wanted)
        with self.hold_sync(), self.hold_trait_notifications():  # they are checked, and sent, together
            for name in settings:
                setattr(self, name, getattr(wanted, name))

    @property
    def selected(self) -> pd.DataFrame:
        """The rows of the current filter, in the order in which they are shown.

        Returns:
            Rows of the table that was given, with its index and columns, and two more: ``correct`` (bool), and
            ``margin`` (`bglab.analysis.least_margin`).
        """
        found = self._index.select(self._filter).rows
        marked = self._index.table.iloc[found]
        rows = self._table.iloc[marked["row"].to_numpy()]
        return rows.assign(correct=marked["correct"].to_numpy(), margin=marked["margin"].to_numpy())

    @property
    def metric(self) -> pd.Series:
        """The number of the current filter: ``metric, value, low, high, hits, n``; fractions in [0, 1].

        With ``compared_with`` also ``here, there, difference, difference_low, difference_high``.
        """
        wanted = self._filter
        found = self._index.select(wanted)
        metric, said = found.metric, say(self._index, wanted, found)
        numbers: dict[str, Any] = {"metric": said.head, "value": metric.value, "low": metric.low, "high": metric.high}
        numbers |= {"hits": metric.hits, "n": metric.n}
        if wanted.compared_with:
            ends = dict(zip(("difference", "difference_low", "difference_high"), metric.difference, strict=True))
            numbers |= {"here": metric.here, "there": metric.there, **ends}
        return pd.Series(numbers)

    def code(self) -> str:
        """Write the pandas code that selects the rows of the current filter from the table ``predictions``."""
        return code(self._index, self._filter, several=self._several)

    def figure(self, count: int = 24) -> ShownFigure:
        """Draw the first images of the selection with its metric; without images, its confusion matrix.

        Args:
            count: Largest number of images.
        """
        return draw_selection(self._index, self._images, self._filter, count)

    def close(self) -> None:
        """Close the widget and its explorer."""
        super().close()
        if self.explorer is not None:
            self.explorer.close()

    def retire(self) -> None:
        """Close, and release the classifiers."""
        self.close()
        if self._detail.session is not None:
            self._detail.session.inspector.release()

    # ---- messages from the browser

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        index = self._index
        content = {
            "state": self.state | {"row": self.row},
            "cleared": asdict(RowFilter()),
            "values": {name: list(index.values[name]) for name in ("dataset", "variant", "model", "scene")},
            "titles": [variant_title(name) for name in index.values["variant"]],
            "classes": list(index.classes),
            "present": sorted(set(index.truth.tolist())),
            "answers": sorted(set(index.answer.tolist())),
            "outside": OUTSIDE_NAME,
            "outcomes": list(OUTCOME_WORDS.items()),
            "flips": list(FLIPS),
            "references": [[name, reference_words(name)] for name in index.references],
            "orders": list(ORDERS.items()),
            "reasons": self._images.reasons,
            "notes": self._detail.notes,
            "has_explorer": self.explorer is not None,
            "colour_map": colour_table(),
            "size": self._detail.size,
            "thumb": _SIDE,
            "per_sheet": PER_SHEET,
            "per_row": PER_ROW,
            "names": [name for name, _ in self._columns()],
        }
        self._reply(message, {"type": "hello", **content}, [column.tobytes() for _, column in self._columns()])

    def _columns(self) -> list[tuple[str, np.ndarray]]:
        """List what the page knows of every row; the names say the type: i of int32, f of float32."""
        index = self._index
        numbers = {name: index.codes(name) for name in ("dataset", "variant", "model", "scene")}
        numbers |= {"correct": index.correct, "truth": index.truth, "answer": index.answer}
        numbers |= {"missing": self._images.missing, "row": index.table["row"].to_numpy()}
        floats = {"confidence": index.confidence, "margin": index.table["margin"].to_numpy()}
        return [(f"i {name}", values.astype(np.int32)) for name, values in numbers.items()] + [
            (f"f {name}", values.astype(np.float32)) for name, values in floats.items()
        ]

    def _receive(self, _widget: Any, message: Message, buffers: Sequence[Any]) -> None:
        """Queue a message; thumbnails pause for a filter, whose short steps would each wait for the other thread."""
        if isinstance(message, Mapping) and message.get("type") == "filter":
            self._undisturbed.clear()
        super()._receive(_widget, message, buffers)

    def _on_filter(self, message: Message, _buffers: list[bytes]) -> None:
        try:
            self._answer(message)
        finally:
            self._undisturbed.set()

    def _answer(self, message: Message) -> None:
        """Select rows and compute their number; the page has the columns."""
        wanted = RowFilter().but(fields.settings(message))
        self._check_settings(fields.settings(message))
        found = self._index.select(wanted)
        missing = [each._asdict() for each in self._images.without_image(found.rows)]
        content = {"said": say(self._index, wanted, found)._asdict(), "missing": missing, "state": message["state"]}
        metric = found.metric
        share = None if not metric.n else [metric.value, metric.low, metric.high]
        content |= {"share": share, "hits": metric.hits, "n": metric.n, **_confusion(self._index, found.confusion)}
        content |= {"undecided": int(np.isnan(self._index.table["margin"].to_numpy()[found.rows]).sum())}
        self._reply(message, {"type": "rows", **content}, [found.rows.astype(np.uint32).tobytes()])

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        rows = self._rows(message, PER_SHEET)
        before = len(self._images.reasons)
        thumbnails = self._images.thumbnails(rows, _SIDE, lambda: self._undisturbed.wait(_LONGEST_PAUSE_S))
        blank = np.full((3, _SIDE, _SIDE), 128, dtype=np.uint8)
        jpeg = sheet_of([blank if levels is None else levels for levels in thumbnails], _SIDE)
        failed = {row: int(self._images.missing[row]) for row in rows if self._images.missing[row] >= 0}
        content = {"type": "thumbs", "sheet": fields.text(message, "sheet"), "failed": list(failed.items())}
        content |= {"reasons": self._images.reasons} if len(self._images.reasons) > before else {}
        self._reply(message, content, [jpeg])

    def _on_show(self, message: Message, _buffers: list[bytes]) -> None:
        """Show one row in detail."""
        row = fields.whole(message, "place", 0, len(self._index) - 1)
        compared = fields.text(message, "compared_with")
        if compared and compared not in self._index.references:
            raise UnknownName(unknown_name("compared with", compared[:60], list(self._index.references)))
        content, buffers = self._detail.describe(row, compared)
        self._reply(message, {"type": "shown", **content}, buffers)

    def _on_open(self, message: Message, _buffers: list[bytes]) -> None:
        """Open a row's image in the explorer, which appears below the first time."""
        row = fields.whole(message, "place", 0, len(self._index) - 1)
        if self.explorer is None:
            raise BadInput("expected scenes=… and classifier=… to open an image in the explorer, got none of one")
        if self._images.missing[row] >= 0:
            raise BadInput(f"expected a row with an image, got one of rows that {self._reason(row)}; choose another")
        state = self._images.state(row)
        model = str(self._index.table["model"].iloc[row])
        position = self._detail.position(model)
        self.explorer.state = {"scene": state.scene, "background": state.background, "model": max(position, 0)}
        self._place.show(self.explorer)
        self._reply(message, {"type": "opened", "note": self._detail.differences(row)})

    def _on_code(self, message: Message, _buffers: list[bytes]) -> None:
        wanted = RowFilter().but(fields.settings(message))
        self._index.check(wanted)
        self._reply(message, {"type": "code", "code": code(self._index, wanted, several=self._several)})

    def _on_export(self, message: Message, _buffers: list[bytes]) -> None:
        """Send the selected rows as CSV, with the names of their classes where these are known."""
        content = with_class_names(self.selected).to_csv(index=False).encode()
        self._reply(message, {"type": "file", "name": "predictions.csv", "mime": "text/csv"}, [content])

    def _rows(self, message: Message, most: int) -> list[int]:
        rows = message.get("rows")
        if not isinstance(rows, list) or not 0 < len(rows) <= most or not all(map(self._is_row, rows)):
            raise BadInput(f"expected up to {most} positions of rows, got {rows!r:.60}; reload the page")
        return rows

    def _is_row(self, row: object) -> bool:
        return isinstance(row, int) and not isinstance(row, bool) and 0 <= row < len(self._index)

    def _reason(self, row: int) -> str:
        return self._images.reasons[int(self._images.missing[row])]

    def _caption(self) -> str:
        wanted = self._filter
        said = say(self._index, wanted, self._index.select(wanted))
        return f"{said.head} {said.value}. {said.rows}"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the widget, and reserve a place below it for the explorer."""
        super()._ipython_display_(**options)
        if self.explorer is not None:
            self._place.reserve()


def _confusion(index: RowIndex, counts: np.ndarray) -> dict[str, Any]:
    """Choose the classes that the matrix has room for: those with most errors, in the order of their labels."""
    classes = len(index.classes)
    shown = list(range(classes))
    if classes > _MOST_CLASSES:
        errors = counts[:, :classes] - np.diag(np.diag(counts[:, :classes]))
        most = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:_MOST_CLASSES]
        shown = sorted(most.tolist())
    columns = [*shown, classes]
    return {"shown": shown, "counts": counts[np.ix_(shown, columns)].tolist(), "is_part": len(shown) < classes}
