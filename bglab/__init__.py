"""An interactive lab for one question: how much does an image classifier lean on the background?

Scenes become variants, a classifier turns them into predictions, metrics turn predictions into small tables,
figures and widgets show them. Names load when they are first used, so ``import bglab`` needs no torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
