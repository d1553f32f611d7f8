"""The data sets of Noise or Signal rebuilt from ImageNet, and the wrong file names of its release put right."""

from bglab.rebuild.build import Construction, build
from bglab.rebuild.donors import repair, write_repair

__all__ = [
    "Construction",
    "build",
    "repair",
    "write_repair",
]
