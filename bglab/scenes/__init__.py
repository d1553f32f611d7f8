"""Labelled photographs with masks and boxes: where they come from, and how they are decoded once and kept.

Names load when they are first used, since decoded scenes open without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
