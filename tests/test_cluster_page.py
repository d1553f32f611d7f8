"""The page about clusters: its commands are commands, and its script for Slurm runs one on the nodes it is given."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bglab.__main__ import _parser
from fixtures import ROOT
from fixtures.checkpoints import SMALL, saved, small

PAGE = (ROOT / "docs" / "cluster.md").read_text()
SCRIPT = ROOT / "docs" / "slurm" / "bglab.sbatch"


def commands():
    """Return the commands of bglab on the page, as words."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["bglab"]:
                yield words[1:]
            elif words[:1] == ["sbatch"]:
                yield [*words[words.index("docs/slurm/bglab.sbatch") + 1 :], "--ray", "node:6379"]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_commands_of_the_page_are_commands(words):
    assert _parser().parse_args(words).ray is not None


def test_there_are_commands_of_each_kind():
    assert {words[0] for words in commands()} >= {"search", "reproduce"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Slurm runs on Linux")
def test_the_script_runs_a_command_on_its_nodes(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'bglab[ray]'")
    address = ray.util.get_node_ip_address()
    tools = tmp_path / "tools"
    tools.mkdir()
    # two nodes of one machine; srun runs what follows its options
    stand_ins = {
        "scontrol": f'printf "{address}\\n{address}\\n"',
        "srun": 'while [[ "$1" == --* ]]; do shift; done; echo "$@" >> "$SRUN_LOG"; exec "$@"',
        "ray": f'exec {sys.executable} -m ray.scripts.scripts "$@"',
        "bglab": f'exec {sys.executable} -m bglab "$@"',
    }
    for name, text in stand_ins.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    network = {"state_dict": small().state_dict(), "architecture": SMALL, "input_size": 48}
    (tmp_path / "net.pt").write_bytes(saved(network))
    words = ["search", "--scenes", "synthetic9?n=18", "-m", f"file:{tmp_path / 'net.pt'}", "--size", "48"]
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "BGLAB_RAY_PORT": str(20000 + os.getpid() % 10000),
        "SRUN_LOG": str(tmp_path / "srun.log"),
    }
    command = ["bash", str(SCRIPT), *words, "--results", str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(Path(tmp_path / "runs").glob("**/pairs*.npy")) or list(Path(tmp_path / "runs").glob("**/*.npy"))
    started = (tmp_path / "srun.log").read_text().splitlines()
    assert [line.split()[:3] for line in started][0] == ["ray", "start", "--head"]
    assert all("--num-cpus 1" in line for line in started)
