"""The audit card of a classifier: how much it leans on the background, on one page, and what changed between two.

`check` measures one model beside three known ones, `compare` two models or checkpoints on the same images.
"""

from bglab.audit.card import Card
from bglab.audit.card_file import read_card
from bglab.audit.checking import check
from bglab.audit.comparing import compare
from bglab.audit.comparison import Comparison
from bglab.audit.evidence import Evidence, ScenesFacts
from bglab.audit.measures import MEASURES, Measure

__all__ = ["Card", "Comparison", "Evidence", "MEASURES", "Measure", "ScenesFacts", "check", "compare", "read_card"]
