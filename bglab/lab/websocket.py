"""A kernel connection that sends small frames at once, and the server extension that switches it on.

The server leaves Nagle's algorithm on for its websockets; a widget's reply is several small frames, so the second
waits for the browser's delayed acknowledgement, 40 ms on Linux.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class NoDelayConnection(ZMQChannelsWebsocketConnection):
    """The server's own connection with TCP_NODELAY set."""

    def connect(self) -> Any:
        """Set the option, then connect as usual."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Let a Jupyter server use the connection above, unless its user or a gateway has chosen another.

    The server imports a class that its configuration names and does not start without it; an extension that fails
    to load costs only a warning. Hence this function rather than a line of configuration.
    """
    if (
        server.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
        and "kernel_websocket_connection_class" not in server.config.ServerApp
    ):
        server.kernel_websocket_connection_class = NoDelayConnection
        server.web_app.settings["kernel_websocket_connection_class"] = NoDelayConnection
