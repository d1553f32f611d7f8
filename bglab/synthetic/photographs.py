"""Photographs from pip packages, used on the plates of cut-outs."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from bglab.errors import MissingData
from bglab.images import open_image


@functools.lru_cache(maxsize=32)
def photograph(package: str, file: str) -> UInt8[np.ndarray, "h w 3"]:
    """Load a photograph from a pip package without importing the package.

    Args:
        package: Import name of the package.
        file: Path within the package.

    Raises:
        MissingData: If the package is not installed, or has no such image.
    """
    spec = importlib.util.find_spec(package)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / file
    if path is None or not path.is_file():
        raise MissingData(
            f"expected the photograph {file} of the pip package {package} for a plate, but it is not installed; "
            "run pip install 'bglab[demo]', or open cutouts?plates=drawn, which needs no photographs"
        )
    image = np.array(open_image(path))
    image.setflags(write=False)
    return image
