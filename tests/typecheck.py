"""The type checker that watches every annotated shape while tests run; an int may stand for a float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
