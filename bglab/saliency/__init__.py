"""Saliency maps, the layers they are computed at, and tables of their agreement with foreground masks."""

from bglab.saliency.activation_maps import GradCam
from bglab.saliency.methods import SmoothGradResult, saliency_maps, smooth_grad, upsample
from bglab.saliency.table import explain_scenes, saliency_table
from bglab.saliency.target_layers import CamLayer, find_layer, head_weight, locate_layer
from bglab.saliency.targets import TargetRule, resolve_targets

__all__ = [
    "CamLayer",
    "GradCam",
    "SmoothGradResult",
    "TargetRule",
    "explain_scenes",
    "find_layer",
    "head_weight",
    "locate_layer",
    "resolve_targets",
    "saliency_maps",
    "saliency_table",
    "smooth_grad",
    "upsample",
]
