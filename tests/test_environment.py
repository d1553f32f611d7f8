"""The house: one list of requirements, a light import, and nothing tracked that should not be."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
#: What `make` installs.
EXTRAS = ("lab", "cpu", "demo", "hf", "clip", "test")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_equals_pyproject(project):
    extras = project["optional-dependencies"]
    expected = project["dependencies"] + [d for name in EXTRAS for d in extras[name]]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert sorted(pip) == sorted(expected)
    assert f"python{project['requires-python']}" in environment["dependencies"]


def test_constraints_pin_every_direct_requirement(project):
    extras = project["optional-dependencies"]
    # make docs installs one more
    required = project["dependencies"] + [d for name in (*EXTRAS, "docs") for d in extras[name]]
    names = {d.split(">")[0].split("=")[0].split("<")[0].lower() for d in required}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if line and not line.startswith("#")}
    assert names <= pinned
    assert f"EXTRAS := {','.join(EXTRAS)}\n" in (ROOT / "Makefile").read_text()
    assert all("==" in line and "://" not in line for line in lines if line and not line.startswith("#"))


def test_import_is_light():
    heavy = ("torch", "pandas", "matplotlib", "transformers", "open_clip")
    code = f"import sys, bglab; dir(bglab); sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_analysis_runs_without_torch():
    code = (
        "import bglab.analysis, bglab.figures, bglab.results\n"
        "import sys; sys.exit(any(m in sys.modules for m in ('torch', 'torchvision', 'timm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_every_public_name_is_there():
    import bglab

    for name in bglab.__all__:
        assert getattr(bglab, name) is not None
    with pytest.raises(AttributeError, match="bglab has no 'nothing'"):
        bglab.nothing  # noqa: B018 - the access is the test


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_large_is_tracked():
    assert [p.name for p in tracked_files() if p.stat().st_size > 1_000_000] == []


def test_files_stay_chapters():
    lines = {p: len(p.read_text().splitlines()) for p in tracked_files() if p.suffix in {".py", ".js"}}
    # a chapter of tests shares its fixtures, and may be a little longer for it
    assert {p.name for p, n in lines.items() if n > (480 if "tests" in p.parts else 430)} == set()
