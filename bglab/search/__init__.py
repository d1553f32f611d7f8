"""Adversarial backgrounds: every foreground on every background, the first one that fools, and a live search."""

from bglab.search.first_hit import FirstHits, first_hit, summarise_hits
from bglab.search.live import LiveState, LiveStep, search_live_steps, start_live
from bglab.search.matrix import search_matrix
from bglab.search.pair_batches import start_batching
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator
from bglab.search.pair_images import PairImages, Pairs
from bglab.search.refine import Refinement, refine_attack, refine_attack_steps

__all__ = [
    "FirstHits",
    "LiveState",
    "LiveStep",
    "PairEvaluator",
    "PairImages",
    "Pairs",
    "Refinement",
    "first_hit",
    "open_evaluator",
    "refine_attack",
    "refine_attack_steps",
    "search_live_steps",
    "search_matrix",
    "start_batching",
    "start_live",
    "summarise_hits",
]
