"""Engines of networks that nobody converted before: where OpenVINO fails or computes something else, torch serves."""

from __future__ import annotations

from dataclasses import replace

import torch

from bglab.errors import BadInput
from bglab.models.adapters import differentiable
from bglab.models.engines import Engine, EngineChoice, Normalised, OpenVINOEngine, noise_images

#: Largest difference between the logits of two engines, as a share of the largest logit.
_TOLERANCE = 1e-3


def start_checked(network: Normalised, choice: EngineChoice, key: str, size: int) -> tuple[Engine, EngineChoice, str]:
    """Start an engine, and if OpenVINO was not asked for by name, compare its logits with torch's.

    Args:
        network: Network to run.
        choice: Options of the engine.
        key: Identity under which conversions are cached; "" caches none.
        size: Side in pixels of the images that are compared.

    Returns:
        The engine, the options that start it again, and why it is not OpenVINO's; "" if that was not tried or agrees.

    Raises:
        BadInput: If OpenVINO is asked for by name to run a function, or the engine cannot run here.
    """
    if not differentiable(network):
        if choice.engine == "openvino":
            raise BadInput("expected the engine torch for a function, got openvino, which converts networks")
        choice = replace(choice, engine="torch")
    engine = choice.start(network, key)
    if choice.engine != "auto" or not isinstance(engine, OpenVINOEngine):
        return engine, choice, ""
    why = _difference(engine, network, size, exact=choice.amp_dtype == "none")
    if not why:
        return engine, choice, ""
    choice = replace(choice, engine="torch")
    return choice.start(network, key), choice, f"torch runs the network, since OpenVINO cannot ({why})"


def _difference(engine: Engine, network: Normalised, size: int, *, exact: bool) -> str:
    """Return how the logits of an engine differ from torch's, or why it has none; "" if they are equal.

    A converter follows one path through the code, so that images are compared one at a time that may take others.
    """
    noise = noise_images(size, size, count=1)
    for levels in (noise, torch.zeros_like(noise), torch.full_like(noise, 255)):
        with torch.inference_mode():
            expected = network(levels)
        try:
            error = float((engine.logits(levels) - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
        except Exception as problem:  # noqa: BLE001 - converters raise many kinds
            return str(problem).strip().splitlines()[-1][:160]
        if exact and error > _TOLERANCE:
            return f"its logits differ by {error:.1%}"
    return ""
