"""What the widgets share: images, their composition, and their inspection by classifiers. No widget in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bglab.errors import BadInput
from bglab.models import Classifier
from bglab.scenes import PreparedScenes, ScenesOnDemand
from bglab.widgets.collection import ImageCollection
from bglab.widgets.display_space import choose_display
from bglab.widgets.inspection import Inspector
from bglab.widgets.rendering import StateRenderer
from bglab.widgets.state import State, base_variant


class Session:
    """Everything that an explorer's state is evaluated with.

    Args:
        source: Scenes to explore, prepared or prepared on demand.
        classifiers: Classifiers to inspect.
        seed: Seed for donors, textures, noise and GrabCut.
        mapped: Whether labels of ImageNet's classes are mapped to the nine.

    Attributes:
        display: Classes in which predictions are shown.
        images: Scenes and uploads by name.
        renderer: Composes states.
        inspector: Classifies and explains them.
    """

    def __init__(
        self,
        source: PreparedScenes | ScenesOnDemand,
        classifiers: Sequence[Classifier],
        seed: int = 0,
        *,
        mapped: bool = True,
    ) -> None:
        self.seed = seed
        self.display, matched = choose_display(source.scenes, classifiers, mapped=mapped)
        self.images = ImageCollection(source, seed, self.display)
        self.renderer = StateRenderer(self.images, seed)
        self.inspector = Inspector(self.images, self.renderer, matched)

    def state_of(self, settings: Mapping[str, Any]) -> State:
        """Check settings, among them the scene, and return them as a state.

        Raises:
            UnknownName: If a setting, or what it names, is unknown.
            BadInput: If a value is out of range.
        """
        scene = settings.get("scene")
        if not isinstance(scene, str):
            raise BadInput(f"expected the id of a scene among the settings, got {scene!r:.60}; add scene=…")
        state = State(scene).but(settings)
        self.check(state)
        return state

    def check(self, state: State) -> None:
        """Refuse a state that names something unknown.

        Raises:
            UnknownName: If there is no such scene, or no such scene or image for its background.
            BadInput: If there are fewer classifiers than its ``model`` asks for.
        """
        self.images.check(state.scene)
        if state.background.startswith("scene:"):
            self.images.check(state.background.removeprefix("scene:"))
        base_variant(state.background, self.images.backgrounds)
        count = len(self.inspector.classifiers)
        if state.model >= count:
            raise BadInput(f"expected model to be the position of one of {count} classifiers, got {state.model}")
