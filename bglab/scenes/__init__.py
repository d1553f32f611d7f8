"""Labelled images with foreground masks and boxes: data sources, downloads, and caches of decoded scenes.

`open_scenes` lists a data set as a lazy `SceneSet`; `prepare` decodes one into memory-mapped arrays.
"""

import lazy_loader

# submodules load on first use: cached scenes open without torch
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
