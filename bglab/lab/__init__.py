"""JupyterLab on the notebooks, and the check that a machine can run it."""

from bglab.lab.doctor import examine
from bglab.lab.jupyter import run_lab

__all__ = [
    "examine",
    "run_lab",
]
