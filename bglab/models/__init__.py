"""Classifiers with their preprocessing, the engines that run them, and the lists of models of both papers."""

from bglab.models.answers import Batching, Classification, ask, classify, classify_batches, from_logits
from bglab.models.architectures import check_architecture, create_network
from bglab.models.backward_graph import write_out
from bglab.models.classifier import IMAGENET_MEAN, IMAGENET_STD, IN9_MEAN, IN9_STD, Classifier, load_classifier
from bglab.models.engines import AmpDtype, Engine, EngineChoice, EngineName, Normalised, OpenVINOEngine, pick_device
from bglab.models.model_lists import BASELINE, TABLE_1, expand

__all__ = [
    "Batching",
    "Classification",
    "classify",
    "classify_batches",
    "from_logits",
    "AmpDtype",
    "BASELINE",
    "Classifier",
    "Engine",
    "EngineChoice",
    "EngineName",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IN9_MEAN",
    "IN9_STD",
    "Normalised",
    "OpenVINOEngine",
    "TABLE_1",
    "ask",
    "check_architecture",
    "create_network",
    "expand",
    "load_classifier",
    "pick_device",
    "write_out",
]
