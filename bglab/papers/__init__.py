"""Reproductions of the two papers: a catalogue of their tables and figures, and a report that compares the numbers.

`artefact` defines a table or figure, one package per paper lists them, `runner` makes them, `report` writes the page.
Names are imported on first use, since listing the catalogue does not need torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
