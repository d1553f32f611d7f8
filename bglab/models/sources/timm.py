"""``timm:NAME.TAG``: networks of timm with the weights of a tag."""

from __future__ import annotations

from typing import Any

import timm
from timm.data import resolve_model_data_config  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.models.architectures import name_on_hub, near_names, of_timm_config, renamed_by_timm
from bglab.models.downloads import load_weights, of_address, of_hub
from bglab.models.weights import Weights


def open_weights(path: str) -> Weights:
    """Load weights by the name of their architecture and their tag.

    Raises:
        UnknownName: If there is no such architecture or tag.
        MissingData: If the weights are not on this machine and cannot be downloaded.
    """
    name, _, tag = path.partition(".")
    current = name_on_hub(path) or renamed_by_timm(name)
    if current:
        tagged = current if "." in current else f"{current}.{tag}" if tag else current
        raise UnknownName(f"unknown timm architecture '{path}'; did you mean 'timm:{tagged}'? timm calls it so now")
    if not timm.is_model(name):
        raise UnknownName(unknown_name("timm architecture", name, near_names(name, timm.list_models())))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(name) if full.partition(".")[0] == name]
    if not tag:
        raise UnknownName(
            f"'timm:{name}' names an architecture, not its weights, and timm's default has changed before; "
            f"add a tag: {', '.join(f'timm:{name}.{t}' for t in tags) or 'timm has no weights for it'}"
        )
    if tag not in tags:
        raise UnknownName(unknown_name(f"tag of timm:{name}", tag, tags))
    network = _pretrained(path)
    return Weights(network, name, tag, **of_timm_config(resolve_model_data_config(network, use_test_size=True)))


def _pretrained(path: str) -> nn.Module:
    """Make a network of timm with its weights, from the file if it is on this machine."""
    config: Any = timm.get_pretrained_cfg(path)
    if config.hf_hub_id:
        download = of_hub(f"timm:{path}", config.hf_hub_id, config.hf_hub_filename)
        # else the hub is asked each time whether it has a newer file; other formats than torch's are only at addresses
        overlay: dict[str, Any] = {"file": str(download.file), "custom_load": False} if download.file else {}
    else:
        download, overlay = of_address(f"timm:{path}", config.url), {}
    return load_weights(
        download, lambda: timm.create_model(path, pretrained=True, pretrained_cfg_overlay=overlay or None)
    )
