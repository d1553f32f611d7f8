"""Adversarial backgrounds: every pair, the first one that fools, a live search, and captures with their controls."""

from bglab.search.capture import CONTROLS, CaptureStep, CaptureTask, Controls, Trial, search_capture_steps
from bglab.search.clear_captures import capture_task, clear_captures
from bglab.search.first_hit import FirstHits, first_hit, summarise_hits
from bglab.search.live import LiveState, LiveStep, classify_shown, search_live_steps, start_live, stratified
from bglab.search.matrix import search_matrix
from bglab.search.pair_batches import start_batching
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator
from bglab.search.pair_images import PairImages, Pairs
from bglab.search.refine import Refinement, refine_attack, refine_attack_steps

__all__ = [
    "CONTROLS",
    "CaptureStep",
    "CaptureTask",
    "Controls",
    "FirstHits",
    "LiveState",
    "LiveStep",
    "PairEvaluator",
    "PairImages",
    "Pairs",
    "Refinement",
    "Trial",
    "capture_task",
    "classify_shown",
    "clear_captures",
    "first_hit",
    "open_evaluator",
    "refine_attack",
    "refine_attack_steps",
    "search_capture_steps",
    "search_live_steps",
    "search_matrix",
    "start_batching",
    "start_live",
    "stratified",
    "summarise_hits",
]
