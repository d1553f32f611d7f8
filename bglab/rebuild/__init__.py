"""Rebuild the unpublished data sets of Noise or Signal from ImageNet, and correct the file names of its release.

`build` writes IN-9, IN-9L or IN-9LB; `repair` finds the actual background of every mixed image of a release.
"""

from bglab.rebuild.build import Built, Construction, build
from bglab.rebuild.donors import Repair, repair, write_repair

__all__ = [
    "Built",
    "Construction",
    "Repair",
    "build",
    "repair",
    "write_repair",
]
