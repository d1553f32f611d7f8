"""Classifiers: trained weights with their preprocessing, the engines that run them, and lists of models.

A classifier takes RGB images as uint8 and returns logits; `classify` and `classify_image` turn them into classes.
"""

from bglab.models.adapters import differentiable
from bglab.models.answers import (
    Batching,
    Classification,
    ImageClassification,
    classify,
    classify_batches,
    classify_image,
    finite_logits,
    from_logits,
    not_finite,
)
from bglab.models.architectures import check_architecture, create_network
from bglab.models.arithmetic_count import architecture_gmacs, architecture_size, network_gmacs
from bglab.models.backward_graph import write_out
from bglab.models.classifier import Classifier, load_classifier
from bglab.models.cuda_streams import Pace, SideStream, copied_back, images_that_fit, runs_ahead, upload
from bglab.models.engines import (
    Engine,
    EngineChoice,
    EngineName,
    Normalised,
    OpenVINOEngine,
    noise_images,
    pick_device,
)
from bglab.models.label_matching import match_classes
from bglab.models.model_lists import BASELINE, LISTS, TABLE_1, expand
from bglab.models.own import ClassifierLike, as_classifier, as_classifiers, as_differentiable
from bglab.models.precision import (
    AmpDtype,
    arithmetic,
    autocast,
    check_precision,
    float32_arithmetic,
    precision_of,
)
from bglab.models.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    IN9_MEAN,
    IN9_STD,
    INPUT_PROTOCOLS,
    InputProtocol,
    ModelSpec,
)
from bglab.models.throughput import MANY, Compiled, Pool, Setting, fastest, sweep
from bglab.models.weights import Weights, state_digest

__all__ = [
    "AmpDtype",
    "BASELINE",
    "Batching",
    "Classification",
    "Classifier",
    "ClassifierLike",
    "Compiled",
    "Engine",
    "EngineChoice",
    "EngineName",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IN9_MEAN",
    "IN9_STD",
    "INPUT_PROTOCOLS",
    "LISTS",
    "ImageClassification",
    "InputProtocol",
    "MANY",
    "ModelSpec",
    "Normalised",
    "OpenVINOEngine",
    "Pace",
    "Pool",
    "Setting",
    "SideStream",
    "TABLE_1",
    "Weights",
    "architecture_gmacs",
    "architecture_size",
    "arithmetic",
    "as_classifier",
    "as_classifiers",
    "as_differentiable",
    "autocast",
    "check_architecture",
    "check_precision",
    "classify",
    "classify_batches",
    "classify_image",
    "copied_back",
    "create_network",
    "differentiable",
    "expand",
    "fastest",
    "finite_logits",
    "float32_arithmetic",
    "from_logits",
    "images_that_fit",
    "load_classifier",
    "match_classes",
    "network_gmacs",
    "noise_images",
    "not_finite",
    "pick_device",
    "precision_of",
    "runs_ahead",
    "state_digest",
    "sweep",
    "upload",
    "write_out",
]
