"""Both papers as catalogues of tables and figures, and a report that shows our numbers next to theirs.

`artefact` defines a table or figure, one package per paper lists them, `runner` makes them, `report` writes the page.
Names load when they are first used, since listing the catalogue does not need torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
