"""Whether the classes of a classifier are those of some scenes; the same names in another order are put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bglab.errors import BadInput
from bglab.labels import NAMED_SPACES
from bglab.models.adapters import Reordered
from bglab.models.classifier import Classifier
from bglab.models.engines import Normalised
from bglab.names import class_key

#: Label spaces in which a classifier's predictions can be counted, by its own.
_MAPPED = {"imagenet": "in9"}


def match_classes(classifier: Classifier, space: str, classes: Sequence[str], where: str) -> Classifier:
    """Return a classifier whose predictions can be compared with labels.

    Args:
        classifier: From `load_classifier` or `bglab.classifier`.
        space: Label space of the scenes.
        classes: Their class names, in the order of their labels.
        where: Name of the scenes, for the message.

    Returns:
        The classifier itself if it predicts the classes of this space, or ImageNet's for scenes of the nine classes;
        otherwise one whose logits are in the order of ``classes``, if it predicts classes of these names.

    Raises:
        BadInput: If it predicts others; the message names the first that differ.
    """
    own = classifier.spec.space
    # folders of the same name may hold other classes
    is_same = space == own and (space in NAMED_SPACES or classifier.classes == tuple(classes))
    if is_same or _MAPPED.get(own) == space:
        return classifier
    key = class_key if all(_tells_apart(each) for each in (classifier.classes, classes)) else str
    names = {key(name): position for position, name in enumerate(classifier.classes)}
    wanted = [key(name) for name in classes]
    if set(names) != set(wanted) or not len(names) == len(wanted) == len(classifier.classes):
        raise BadInput(_difference(classifier, names, space, wanted, classes, where))
    order = [names[name] for name in wanted]
    spec = replace(classifier.spec, space=space)
    if order == sorted(order):
        return replace(classifier, spec=spec, classes=tuple(classes))
    base = classifier.network
    network = Normalised(Reordered(base.network, order), spec.mean, spec.std, base.resize)
    engine = classifier.choice.start(network, spec.conversion_key and f"{spec.conversion_key} {order}")
    return replace(classifier, spec=spec, classes=tuple(classes), loadable=network, engine=engine)


def _tells_apart(classes: Sequence[str]) -> bool:
    """Return whether names stay different when they are reduced to what counts; ``Cat`` and ``cat`` do not."""
    return len({class_key(name) for name in classes}) == len(classes)


def _difference(
    classifier: Classifier,
    names: dict[str, int],
    space: str,
    wanted: Sequence[str],
    classes: Sequence[str],
    where: str,
) -> str:
    """Write the message for classes of other names."""
    absent = [name for name, plain in zip(classes, wanted, strict=True) if plain not in names]
    extra = [classifier.classes[position] for plain, position in names.items() if plain not in set(wanted)]
    which = [
        f"{what} {', '.join(some[:5])}{' …' if len(some) > 5 else ''}"
        for what, some in (("only the scenes have", absent), ("only the classifier has", extra))
        if some
    ] or ["some have the same name"]
    return (
        f"expected a classifier that predicts the classes of {where} ({space}, {len(classes)} classes), but "
        f"{classifier.spec.id} predicts those of {classifier.spec.space} ({len(classifier.classes)}): "
        f"{'; '.join(which)}; choose other scenes or another model, or say what its outputs stand for: "
        "bglab.classifier(network, classes=scenes), or file:PATH?classes=NAME,NAME"
    )
