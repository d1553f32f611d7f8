"""Start JupyterLab with the notebooks, and check whether this machine can run it.

Names are loaded on first use, since a Jupyter server imports this package to find the server extension.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """List the server extension for jupyter_server, which prescribes this function's name and return value."""
    return [{"module": "bglab.lab.websocket", "name": "bglab"}]
