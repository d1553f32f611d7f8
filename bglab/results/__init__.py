"""The files between computing and reading: predictions, pair matrices, saliency tables, and how each was made.

Torch is never imported, so results can be read on any machine.
"""

from bglab.results.names import data_file_name, earlier_file_name, file_name, model_file_name
from bglab.results.pair_store import PairStore
from bglab.results.pairs import (
    NOT_EVALUATED,
    PairPredictions,
    Protocol,
    open_pairs,
    pairs_folder,
    row_blocks,
)
from bglab.results.parts import Part, PartFiles, decode_part, encode_part, table_blocks
from bglab.results.predictions import (
    PREDICTION_SCHEMA,
    prediction_file,
    prediction_rows,
    read_predictions,
    read_predictions_file,
    write_predictions,
)
from bglab.results.protocol import CRITERIA, Criterion, Side, allowed_pairs, protocol_provenance, succeeds
from bglab.results.provenance import commit, differing_fields, identity, reusable, versions
from bglab.results.saliency import (
    SALIENCY_SCHEMA,
    read_saliency,
    read_saliency_file,
    saliency_file,
    saliency_rows,
    write_saliency,
)
from bglab.results.stored import read_content, read_provenance, set_aside
from bglab.results.table import IMAGENET_X, export_predictions, to_table, write_table
from bglab.results.text_table import TextTable, read_text_table, shorten

__all__ = [
    "CRITERIA",
    "Criterion",
    "IMAGENET_X",
    "NOT_EVALUATED",
    "PREDICTION_SCHEMA",
    "PairPredictions",
    "PairStore",
    "Part",
    "PartFiles",
    "Protocol",
    "SALIENCY_SCHEMA",
    "Side",
    "TextTable",
    "allowed_pairs",
    "commit",
    "data_file_name",
    "decode_part",
    "differing_fields",
    "earlier_file_name",
    "encode_part",
    "export_predictions",
    "file_name",
    "identity",
    "model_file_name",
    "open_pairs",
    "pairs_folder",
    "prediction_file",
    "prediction_rows",
    "protocol_provenance",
    "read_content",
    "read_predictions",
    "read_predictions_file",
    "read_provenance",
    "reusable",
    "read_saliency",
    "read_saliency_file",
    "read_text_table",
    "row_blocks",
    "saliency_file",
    "saliency_rows",
    "set_aside",
    "shorten",
    "succeeds",
    "table_blocks",
    "to_table",
    "versions",
    "write_predictions",
    "write_saliency",
    "write_table",
]
