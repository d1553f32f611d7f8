"""Our figures of the papers: made from drawn scenes, where no report is given."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from _generate.pages import ROOT
from bglab.papers import catalogue

#: Scenes that are drawn on the spot, so that the figures can be made on every machine.
SCENES = "synthetic9?n=90"
MODELS = ("lite:efficientnet_lite0",)


def example_report(folder: Path) -> Path:
    """Make the figures that need neither the papers' data nor trained networks, unless this code has made them already.

    Args:
        folder: Folder of the report; predictions that it holds are used again.

    Returns:
        The folder.

    Raises:
        subprocess.CalledProcessError: If nothing could be made.
    """
    stamp = folder / "made_by"
    command = ["reproduce", *catalogue(), "--scenes", SCENES, "--models", *MODELS, "--train", "none",
               "--pairs-per-class", "4", "--out", str(folder)]  # fmt: skip
    digest = hashlib.sha256("\0".join(command[:-1]).encode())
    for path in sorted((ROOT / "bglab").rglob("*.py")):
        digest.update(path.read_bytes())
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, "-m", "bglab", *command], check=False, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    if ran.returncode:
        raise subprocess.CalledProcessError(ran.returncode, ran.args)
    stamp.write_text(digest.hexdigest())
    return folder
