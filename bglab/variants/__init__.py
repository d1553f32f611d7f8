"""Variants of scenes: rules for foreground and background, the table of variants, and data sets of their images.

`compose` makes a data set of a variant, on prepared images or at full resolution; `given` makes a variant of your own.
"""

from bglab.variants.adjustments import Adjusted, Adjustment, Placed, adjusted, object_region
from bglab.variants.composition import compose, compose_all, default_resolution, open_published
from bglab.variants.dataset import Dataset, DatasetRow, Positions, Resolution, full_dataset
from bglab.variants.full_resolution import (
    INVARIANCE,
    STREAMED,
    FullScenes,
    StreamSettings,
    expand,
    open_full,
    region_of,
    reopen_full,
)
from bglab.variants.rules import (
    Background,
    Draw,
    Foreground,
    GivenImage,
    Keep,
    Noise,
    Own,
    Patch,
    Plain,
    SceneBatch,
    Texture,
)
from bglab.variants.scene_tensors import SceneTensors, scene_tensors
from bglab.variants.streaming import Block, stream
from bglab.variants.variant import (
    IN9_VARIANTS,
    VARIANTS,
    Variant,
    at_strength,
    find_variant,
    given,
    pair_donors,
    render,
    variant_table,
)

__all__ = [
    "Adjusted",
    "Adjustment",
    "Background",
    "Block",
    "Dataset",
    "DatasetRow",
    "Draw",
    "Foreground",
    "FullScenes",
    "GivenImage",
    "IN9_VARIANTS",
    "INVARIANCE",
    "Keep",
    "Noise",
    "Own",
    "Patch",
    "Placed",
    "Plain",
    "Positions",
    "Resolution",
    "STREAMED",
    "SceneBatch",
    "SceneTensors",
    "StreamSettings",
    "Texture",
    "VARIANTS",
    "Variant",
    "adjusted",
    "at_strength",
    "compose",
    "compose_all",
    "default_resolution",
    "expand",
    "find_variant",
    "full_dataset",
    "given",
    "object_region",
    "open_full",
    "open_published",
    "pair_donors",
    "region_of",
    "render",
    "reopen_full",
    "scene_tensors",
    "stream",
    "variant_table",
]
