"""``tv:NAME/WEIGHTS``: networks of torchvision."""

from __future__ import annotations

from torchvision import models

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.models.architectures import near_names, of_transforms
from bglab.models.downloads import load_weights, of_address
from bglab.models.weights import Weights


def open_weights(path: str) -> Weights:
    """Load weights by the name of their architecture and their entry in torchvision.

    Raises:
        UnknownName: If there is no such architecture or entry.
        MissingData: If the weights are not on this machine and cannot be downloaded.
    """
    name, _, tag = path.partition("/")
    if name not in models.list_models(models):
        raise UnknownName(unknown_name("torchvision model", name, near_names(name, models.list_models(models))))
    offered = {entry.name: entry for entry in models.get_model_weights(name)}
    if tag not in offered:
        raise UnknownName(
            f"'tv:{path}' does not say which weights; add one of them: "
            f"{', '.join(f'tv:{name}/{weights}' for weights in offered)}"
        )
    download = of_address(f"tv:{path}", offered[tag].url)
    network = load_weights(download, lambda: models.get_model(name, weights=offered[tag]))
    return Weights(network, name, tag, **of_transforms(offered[tag]))
