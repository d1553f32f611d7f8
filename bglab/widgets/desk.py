"""The desk: every table and figure of the papers, made by hand; runs are watched, stopped and go on."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import traitlets

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.figures import VENUES, WIDTHS, ShownFigure, Width, find_venue
from bglab.models import as_classifiers, expand
from bglab.papers import (
    DEFAULT_MODELS,
    FORMATS,
    Artefact,
    DeskRun,
    Outcome,
    Settings,
    Step,
    catalogue,
    first_missing,
)
from bglab.scenes import open_scenes
from bglab.widgets import fields
from bglab.widgets.browse import open_browser
from bglab.widgets.desk_messages import artefact_message, code_of, greeting, overview, state_of
from bglab.widgets.explorer import Explorer
from bglab.widgets.live_widget import LiveWidget, Message, made_by_cell, module_of, style_of
from bglab.widgets.messages import PER_ROW, PER_SHEET, THUMB_PX, Sheets
from bglab.widgets.place import Place
from bglab.widgets.prediction_browser import PredictionBrowser
from bglab.widgets.session import Session

#: Most classifiers that the explorer of an artefact's images shows side by side.
_MOST_EXPLORED = 3
_MOST_SEED = 2**31 - 1


class Desk(LiveWidget):
    """The tables and figures of both papers with what each needs, ours beside the paper's; made by `papers`.

    Attributes:
        explorer: Explorer in which an image was opened; None before the first.
        browser: Browser of the predictions that an artefact was made from; None before the first.
    """

    _esm = module_of("desk.js")
    _css = style_of(["explorer.css", "strip.css", "desk.css"])

    title = "desk"
    urgency = {"hello": 4, "select": 3, "states": 1}
    latest = frozenset({"select", "states", "idle"})
    # a run occupies the first thread, and meanwhile everything else is answered; figures are drawn by one thread only
    parallel = frozenset({"hello", "select", "states", "thumbs", "images", "open", "browse", "code"})
    immediate = frozenset({"stop"})

    artefact = traitlets.Unicode().tag(sync=True)
    venue = traitlets.Unicode("cvpr2024").tag(sync=True)

    def __init__(self, settings: Settings, artefact: str) -> None:
        self._known = catalogue()
        self._run = DeskRun(settings)
        self._making = ""
        self._steps: tuple[Step, ...] = ()
        self._session: Session | None = None
        self._sheets: Sheets | None = None
        self._session_lock = threading.Lock()
        self.explorer: Explorer | None = None
        self.browser: PredictionBrowser | None = None
        self._place, self._browser_place = Place(), Place()
        super().__init__(artefact=artefact)

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        artefact, venue = settings.get("artefact"), settings.get("venue")
        if artefact is not None:
            self._known[artefact]  # raises on an unknown one
        if venue is not None and venue not in VENUES:
            raise UnknownName(unknown_name("venue", str(venue)[:60], list(VENUES)))

    @traitlets.validate("artefact", "venue")
    def _check(self, proposal: Any) -> Any:
        self._check_settings({proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    # ---- for code in other cells

    @property
    def settings(self) -> Settings:
        """Data, models and options of the runs."""
        return self._run.reproduction.settings

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What was made in this session, by the artefact's id."""
        return dict(self._run.outcomes)

    def run(self, *ids: str) -> Desk:
        """Make artefacts in the calling thread, as in a script; stored results are read, not computed again.

        Args:
            *ids: Ids of artefacts; none makes the chosen one.

        Raises:
            UnknownName: If there is no such artefact.
            MissingData: If the data are not here.
        """
        self._make([self._known[name] for name in ids or (self.artefact,)])
        return self

    def stop(self) -> None:
        """Stop a run; what is done is stored, and the next run goes on from there."""
        self._run.stop()

    def figure(self) -> ShownFigure:
        """Draw which artefacts can be made, and which were."""
        return overview(self._known, self._run)

    def close(self) -> None:
        """Stop a run, and close the desk and what was opened from it."""
        self.stop()
        super().close()
        for opened in (self.explorer, self.browser):
            if opened is not None:
                opened.close()

    def retire(self) -> None:
        """Close, and release classifiers and results."""
        self.close()
        if self._session is not None:
            self._session.inspector.release()
        if self.browser is not None:
            self.browser.retire()
        self._session = self._sheets = None
        self._run = DeskRun(self.settings)

    # ---- messages

    def _on_hello(self, message: Message, _buffers: list[bytes]) -> None:
        self._reply(message, {"type": "hello", **greeting(self._known, self.settings, self._state())})
        self._send_statuses(message)
        self._send_progress(message)

    def _state(self) -> dict[str, Any]:
        return {"artefact": self.artefact, "venue": self.venue}

    def _on_states(self, message: Message, _buffers: list[bytes]) -> None:
        """Send which artefacts can be made from these scenes and models."""
        reproduction = self._run.open()
        states = {name: state_of(each, reproduction) for name, each in self._known.items()}
        count = len(reproduction.scenes)
        self._reply(message, {"type": "states", "states": states, "data": reproduction.data, "count": count})

    def _on_select(self, message: Message, _buffers: list[bytes]) -> None:
        """Show an artefact: what it is, what the paper prints, and ours if it was made."""
        artefact = self._known[fields.text(message, "id")]
        self.artefact = artefact.id
        self._show(message, artefact)

    def _on_choose(self, message: Message, _buffers: list[bytes]) -> None:
        """Take other scenes, models or seed; results of the earlier ones stay in the store."""
        scenes, seed = fields.text(message, "scenes").strip(), fields.whole(message, "seed", 0, _MOST_SEED)
        models = expand(tuple(fields.text(message, "models").replace(",", " ").split()))
        if not models:
            raise BadInput("expected at least one model, got none; write for example lite:efficientnet_lite0")
        open_scenes(scenes)  # refused here, before anything changes
        self._run = DeskRun(replace(self.settings, scenes=scenes, models=models, seed=seed))
        with self._session_lock:
            self._session = self._sheets = None
        self._reply(message, {"type": "hello", **greeting(self._known, self.settings, self._state())})
        self._send_statuses(message)

    def _on_run(self, message: Message, _buffers: list[bytes]) -> None:
        """Make artefacts, or go on with them."""
        ids = message.get("ids")
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            raise BadInput(f"expected the ids of artefacts to run, got {ids!r:.60}; reload the page")
        self._make([self._known[name] for name in ids])

    def _on_stop(self, message: Message, _buffers: list[bytes]) -> None:
        self.stop()
        self._reply(message, {"type": "stopping"})

    def _on_export(self, message: Message, _buffers: list[bytes]) -> None:
        """Make an artefact again at a venue's width, from stored results, and write its files."""
        artefact = self._known[fields.text(message, "id")]
        venue, width = fields.one_of(message, "venue", VENUES), fields.one_of(message, "width", WIDTHS)
        formats = message.get("formats")
        if not isinstance(formats, list) or not formats or not set(formats) <= set(FORMATS):
            raise BadInput(f"expected formats out of {', '.join(FORMATS)}, got {formats!r:.60}; choose at least one")
        self.venue = venue
        files = self.export(artefact.id, venue=venue, width=cast(Width, width), formats=formats)
        names, folder = [file.name for file in files], str(self.settings.out / "exports")
        contents = [file.read_bytes() for file in files]
        mimes = [mimetypes.guess_type(name)[0] or "application/octet-stream" for name in names]
        self._reply(message, {"type": "files", "folder": folder, "files": names, "mimes": mimes}, contents)

    def export(
        self, artefact: str, *, venue: str = "", width: Width = "column", formats: Sequence[str] = FORMATS
    ) -> tuple[Path, ...]:
        """Make an artefact at a venue's width, from stored results where there are some, and write its files.

        Args:
            artefact: Id of the artefact.
            venue: One of `bglab.figures.VENUES`; "" takes the desk's.
            width: ``column`` or ``full``.
            formats: Formats out of pdf, svg, png, csv and tex.

        Returns:
            The files, in the folder ``exports`` of the reproduction.

        Raises:
            UnknownName: If there is no such artefact or venue.
            MissingData: If a requirement is missing.
        """
        chosen = self._known[artefact]
        missing = first_missing(chosen, self._run.open())
        if missing is not None:
            raise MissingData(f"expected what {artefact} needs, but {missing.reason}. {missing.command}".strip())
        return self._run.export(chosen, find_venue(venue or self.venue).name, width, formats)

    def _on_code(self, message: Message, _buffers: list[bytes]) -> None:
        artefact = self._known[fields.text(message, "id")]
        self._reply(message, {"type": "code", "code": code_of(artefact, self.settings)})

    # ---- the images behind an artefact

    def _on_images(self, message: Message, _buffers: list[bytes]) -> None:
        """List the test scenes, whose images open in the explorer."""
        scenes = self._opened().images.scenes
        listed = [[record.id, record.label, i] for i, record in enumerate(scenes.records)]
        shown = {"scenes": listed, "class_names": list(scenes.classes)}
        sizes = {"thumb": THUMB_PX, "per_sheet": PER_SHEET, "per_row": PER_ROW}
        self._reply(message, {"type": "images", **shown, **sizes})

    def _on_thumbs(self, message: Message, _buffers: list[bytes]) -> None:
        sheet = fields.text(message, "sheet")
        self._opened()
        assert self._sheets is not None, "made with the session"
        self._reply(message, {"type": "thumbs", "sheet": sheet}, [self._sheets.jpeg("scene", sheet)])

    def _on_open(self, message: Message, _buffers: list[bytes]) -> None:
        """Open a scene in the explorer, which appears below the desk the first time."""
        session = self._opened()
        state = session.state_of(fields.settings(message))
        if self.explorer is None or self.explorer._session is not session:
            if self.explorer is not None:
                self.explorer.close()
            self.explorer = Explorer(session, state)
        else:
            self.explorer.state = fields.settings(message)
        self._place.show(self.explorer)
        self._reply(message, {"type": "opened"})

    def _on_browse(self, message: Message, _buffers: list[bytes]) -> None:
        """Open the predictions that an artefact was made from in a browser, which appears below the desk."""
        browser = self.browse(fields.text(message, "id"))
        self._browser_place.show(browser)
        self._reply(message, {"type": "browsed"})

    def browse(self, artefact: str) -> PredictionBrowser:
        """Open the predictions that an artefact was made from; its images open in the place of the explorer.

        Args:
            artefact: Id of an artefact that was made in this session.

        Raises:
            UnknownName: If there is no such artefact.
            BadInput: If it was not made in this session, or from no predictions of single images.
        """
        chosen = self._known[artefact]
        predicted = self._run.predicted(chosen)
        if not predicted:
            why = "does not use predictions of single images" if artefact in self.outcomes else "was not made yet"
            raise BadInput(f"expected an artefact whose predictions are here, but {artefact} {why}; run another one")
        reproduction = self._run.open()
        models = dict.fromkeys(each.model for each in predicted)
        shown = {reproduction.label(m): reproduction.classifier(m) for m in list(models)[:_MOST_EXPLORED]}
        if self.browser is not None:
            self.browser.close()
        self.browser = open_browser(
            [each.table for each in predicted],
            scenes=reproduction.prepared(reproduction.size_of(next(iter(models))), predicted[0].scenes),
            classifier=shown,
            seed=reproduction.settings.seed,
            place=self._place,
        )
        return self.browser

    def _opened(self) -> Session:
        """Open the images with the first models, once."""
        with self._session_lock:
            if self._session is None:
                reproduction = self._run.open()
                models = as_classifiers(list(reproduction.settings.models[:_MOST_EXPLORED]))
                self._session = Session(reproduction.prepared(), models, reproduction.settings.seed)
                self._sheets = Sheets(self._session.images)
            return self._session

    # ---- a run

    def _make(self, artefacts: Sequence[Artefact]) -> None:
        """Make artefacts, and tell all views, since the desk may be shown twice."""
        run = self._run

        def told(artefact: Artefact, steps: tuple[Step, ...]) -> None:
            self._making, self._steps = artefact.id, steps
            self._send_progress({})

        def made(outcome: Outcome) -> None:
            self._steps = ()
            self._send_statuses({})
            if outcome.artefact.id == self.artefact:
                self._show({}, outcome.artefact)

        self._making = artefacts[0].id if artefacts else ""
        self._steps = ()
        self._send_progress({})
        try:
            run.make(artefacts, told=told, made=made)
        finally:
            self._making, self._steps = "", ()
            self._send_progress({})
            self._send_statuses({})

    def _show(self, message: Message, artefact: Artefact) -> None:
        content, buffers = artefact_message(artefact, self._run)
        self._reply(message, content, buffers)

    def _send_progress(self, message: Message) -> None:
        steps = [step._asdict() for step in self._steps]
        self._reply(message, {"type": "progress", "id": self._making, "running": bool(self._making), "steps": steps})

    def _send_statuses(self, message: Message) -> None:
        statuses = {name: self._run.status(each) for name, each in self._known.items()}
        self._reply(message, {"type": "statuses", "statuses": {name: s for name, s in statuses.items() if s[0]}})

    def _caption(self) -> str:
        made = sum(bool(self._run.status(each)[0]) for each in self._known.values())
        return f"{made} of {len(self._known)} tables and figures made in the folder {self.settings.out.resolve().name}"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the desk, and reserve places below it for a browser of predictions and for the explorer."""
        super()._ipython_display_(**options)
        self._browser_place.reserve()
        self._place.reserve()


def papers(
    scenes: str = "synthetic9",
    models: Sequence[str] = DEFAULT_MODELS,
    *,
    out: Path | str = "reproduction",
    artefact: str = "nos-table-2",
    **settings: Any,
) -> Desk:
    """Open the desk: make tables and figures of both papers, and see ours beside the paper's.

    Args:
        scenes: URI of the test scenes, for example ``in9:PATH``.
        models: URIs of pre-trained classifiers.
        out: Folder of the report, as of ``bglab reproduce --out``, which shares its results.
        artefact: Id of the artefact to show first.
        settings: Other fields of `bglab.papers.Settings`.

    Raises:
        UnknownName: If there is no such artefact or setting.
        MissingData: If the data are not here.
    """
    defaults = {"progress": False, "pairs_per_class": 10}
    known = Settings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise UnknownName(unknown_name("setting", name, list(known)))
    open_scenes(scenes)
    chosen = Settings(scenes, Path(out), expand(tuple(models)), **(defaults | settings))
    return made_by_cell(Desk(chosen, catalogue()[artefact].id))
