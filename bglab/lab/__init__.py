"""JupyterLab on the notebooks, and the check that a machine can run it.

Names load when they are first used, since a Jupyter server imports this package to find the extension in it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Name the modules that a Jupyter server loads from here (jupyter_server's name and form)."""
    return [{"module": "bglab.lab.websocket", "name": "bglab"}]
