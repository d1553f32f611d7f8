"""Pixels in, pixels out: reading files, boxes, masks, compositing, placement, textures and evaluation transforms.

Names load when they are first used, since reading an image does not need torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
