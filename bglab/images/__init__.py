"""Image operations: reading files, boxes, masks, compositing, placement, textures and evaluation transforms.

Images are RGB arrays or tensors of shape (3, height, width); masks are boolean, with True for the foreground.
"""

import lazy_loader

# submodules load on first use: reading an image does not need torch, nor resizing one OpenCV
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
