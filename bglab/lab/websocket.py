"""A kernel connection that sends small frames immediately, and the server extension that enables it.

The server leaves Nagle's algorithm enabled on its websockets. A widget's reply consists of several small frames, so the
second waits for the browser's delayed acknowledgement, 40 ms on Linux.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class NoDelayConnection(ZMQChannelsWebsocketConnection):
    """The server's default connection with TCP_NODELAY set."""

    def connect(self) -> Any:
        """Set the option, then connect as usual."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Enable `NoDelayConnection`, unless the user or a gateway has configured another connection class.

    A server does not start if a class named in its configuration cannot be imported, whereas an extension that fails to
    load only causes a warning; hence a function rather than a line of configuration.
    """
    if (
        server.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
        and "kernel_websocket_connection_class" not in server.config.ServerApp
    ):
        server.kernel_websocket_connection_class = NoDelayConnection
        server.web_app.settings["kernel_websocket_connection_class"] = NoDelayConnection
