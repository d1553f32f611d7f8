"""Who computes: blocks of work are done in this process, by one process per device, or by workers of a Ray cluster.

Verbs divide their work into blocks and hand them to the `current` executor; what they compute does not depend on it.
"""

from bglab.executors.blocks import Executor, InProcess, Job, Statistics, current
from bglab.executors.connecting import connect, disconnect
from bglab.executors.worker import assigned_device

__all__ = [
    "Executor",
    "InProcess",
    "Job",
    "Statistics",
    "assigned_device",
    "connect",
    "current",
    "disconnect",
]
