"""The files between computing and reading: predictions, pair matrices, saliency tables, and how each was made.

Torch is never imported, so results can be read on any machine.
"""

from bglab.results.pairs import (
    NOT_EVALUATED,
    PairPredictions,
    PairStore,
    Protocol,
    open_pairs,
    pairs_folder,
    row_blocks,
)
from bglab.results.predictions import (
    PREDICTION_SCHEMA,
    prediction_file,
    read_predictions,
    read_predictions_file,
    write_predictions,
)
from bglab.results.protocol import CRITERIA, Criterion, Side, allowed_pairs, protocol_provenance, succeeds
from bglab.results.provenance import commit, differing_fields, file_name, identity, read_provenance, reusable, versions
from bglab.results.saliency import SALIENCY_SCHEMA, read_saliency, read_saliency_file, saliency_file, write_saliency

__all__ = [
    "CRITERIA",
    "Criterion",
    "NOT_EVALUATED",
    "PREDICTION_SCHEMA",
    "PairPredictions",
    "PairStore",
    "Protocol",
    "SALIENCY_SCHEMA",
    "Side",
    "allowed_pairs",
    "commit",
    "differing_fields",
    "file_name",
    "identity",
    "open_pairs",
    "pairs_folder",
    "prediction_file",
    "protocol_provenance",
    "read_predictions",
    "read_predictions_file",
    "read_provenance",
    "reusable",
    "read_saliency",
    "read_saliency_file",
    "row_blocks",
    "saliency_file",
    "succeeds",
    "versions",
    "write_predictions",
    "write_saliency",
]
