"""A kernel connection that sends small frames at once.

The server leaves Nagle's algorithm on for its websockets; a widget's reply is several small frames, so the second
waits for the browser's delayed acknowledgement, 40 ms on Linux. `bglab lab` names this class to the server.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class NoDelayConnection(ZMQChannelsWebsocketConnection):
    """The server's own connection with TCP_NODELAY set."""

    def connect(self) -> Any:
        """Set the option, then connect as usual."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
