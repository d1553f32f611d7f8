"""The wheel in an empty environment: the lab works without a checkout, and Jupyter works whatever becomes of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.lab import own_environment, started

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def run(*command, check=True, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


class Environment:
    """A virtual environment with bglab from its wheel, and everything else from the environment of the tests."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = folder / "venv"
        self.outside = folder / "outside"
        self.outside.mkdir()
        run(sys.executable, "-m", "venv", self.prefix)
        scheme = {"base": str(self.prefix), "platbase": str(self.prefix)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
        self.python = Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / "python"
        # only the folders: an editable bglab is found by a file in them that is not read on this way
        (self.packages / "others.pth").write_text("\n".join(site.getsitepackages()))
        home = own_environment(folder)
        home = {name: value for name, value in home.items() if not name.startswith("PYTHON")}
        # JupyterLab's own pages belong to the other environment
        lab = {"JUPYTERLAB_DIR": str(Path(sys.prefix) / "share" / "jupyter" / "lab")}
        self.variables = home | lab | {"XDG_CACHE_HOME": str(folder / "cache")}

    def pip(self, *words):
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *words, env=os.environ | self.variables)

    def bglab(self, *words, **options):
        return run(self.python, "-m", "bglab", *words, cwd=self.outside, env=self.variables, **options)

    def execute(self, code):
        return run(self.python, "-c", code, cwd=self.outside, env=self.variables).stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    made = Environment(tmp_path_factory.mktemp("environment"))
    made.pip("install", "--quiet", "--no-index", "--no-deps", wheel)
    return made


def readme(language):
    """Return the lines of the only block of a language in the README."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return block.splitlines()


@contextlib.contextmanager
def opened(command, **options):
    """Start the lab until it prints its address, and yield what it has said by then."""
    with started(command, stderr=subprocess.STDOUT, **options) as lab:
        assert lab.stdout is not None
        lines = [""]
        while not lines[-1].startswith("http://127.0.0.1:"):
            line = lab.stdout.readline()
            assert line, "\n".join(lines)
            lines.append(line.strip())
        assert "/lab/tree/00_start_here.ipynb?token=" in lines[-1]
        yield "\n".join(lines)


#: Nothing is fetched: what a new environment would download is in that of the tests.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "false"}


def test_the_readmes_commands_without_make_open_the_lab(tmp_path):
    folder = tmp_path / "checkout"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    own = own_environment(tmp_path) | OFFLINE | {
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "JUPYTERLAB_DIR": str(Path(sys.prefix) / "share" / "jupyter" / "lab"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    *steps, last = readme("bash")
    run("bash", "-euc", "\n".join(steps), cwd=folder, env=own)
    found = run(folder / ".venv" / "bin" / "python", "-c", "import bglab; print(bglab.__file__)", cwd=tmp_path, env=own)
    assert Path(found.stdout.strip()).is_relative_to(folder / ".venv")
    with opened([*last.split(), "--no-browser"], env=own, cwd=folder):
        assert sorted(path.name for path in (tmp_path / "bglab-notebooks").glob("*.ipynb")) == NOTEBOOKS


COLAB = """
import json, sys, types
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

output = types.ModuleType("google.colab.output")
output.switched_on = 0
def enable_custom_widget_manager():
    output.switched_on += 1
output.enable_custom_widget_manager = enable_custom_widget_manager
output._widgets = types.SimpleNamespace(_installed_url="https://manager.invalid")
sys.modules |= {"google": types.ModuleType("google"), "google.colab": types.ModuleType("google.colab")}
sys.modules["google.colab.output"] = output

shell = InteractiveShell.instance()
shell.display_pub = CapturingDisplayPublisher()
for cell in [sys.argv[1], *(c["source"] for c in json.load(open(sys.argv[2]))["cells"] if c["cell_type"] == "code")]:
    shell.run_cell("".join(cell)).raise_error()
shown = [(kind, one["metadata"]) for one in shell.display_pub.outputs for kind in one["data"]]
views = [str(metadata.get(kind)) for kind, metadata in shown if kind.endswith("widget-view+json")]
print("switched on", output.switched_on, *sorted(set(views)))
"""


def test_the_first_notebook_runs_after_the_readmes_cell_for_colab(wheel, tmp_path):
    environment = Environment(tmp_path)
    (cell,) = readme("ipython")
    assert f"/content/{wheel.name}[" in cell
    cell = cell.replace("/content", str(wheel.parent))
    notebook = ROOT / "notebooks" / "00_start_here.ipynb"
    own = environment.variables | OFFLINE | {"MPLBACKEND": "agg", "BGLAB_DATA": str(tmp_path / "data")}
    said = run(environment.python, "-c", COLAB, cell, notebook, cwd=environment.outside, env=own).stdout
    manager = {"colab": {"custom_widget_manager": {"url": "https://manager.invalid"}}}
    assert said.splitlines()[-1] == f"switched on 1 {manager}"
    assert (environment.packages / "bglab" / "__init__.py").is_file()


def test_bglab_comes_from_the_wheel(environment):
    found = Path(environment.execute("import bglab; print(bglab.__file__)"))
    assert found == environment.packages / "bglab" / "__init__.py"
    assert environment.execute("from bglab.files import checkout; print(checkout())") == "None"
    assert environment.execute("from bglab.results import provenance; print(repr(provenance.commit()))") == "''"


def test_doctor_finds_what_the_lab_needs(environment):
    printed = environment.bglab("doctor").stdout
    assert str(environment.packages / "bglab" / "notebooks") in printed
    assert str(environment.folder / "cache" / "bglab") in printed


def test_data_list_and_the_sample_pack_need_no_checkout(environment):
    assert "  in9: ImageNet-9 test sets" in environment.bglab("data", "list").stdout
    code = (
        "import bglab; scenes = bglab.open_scenes('sample'); scene = scenes[0];"
        "print(len(scenes), scene.image.shape[0], scene.mask.any())"
    )
    assert environment.execute(code) == f"{len(sample())} 3 True"


def sample():
    import bglab

    return bglab.open_scenes("sample")


def test_trained_networks_predictions_are_there(environment):
    code = (
        "from bglab.files import trained_results; from bglab.results import read_predictions_file\n"
        "files = sorted(trained_results().glob('*/*.parquet'))\n"
        "print(len(files), len(read_predictions_file(files[0])) > 0)"
    )
    shipped = list((ROOT / "data" / "results" / "trained").glob("*/*.parquet"))
    assert environment.execute(code) == f"{len(shipped)} True"


def open_lab(environment, *folder):
    """Open the lab and close it again; return what it had to say before its address."""
    command = [str(environment.python), "-m", "bglab", "lab", *map(str, folder), "--no-browser"]
    with opened(command, env=environment.variables, cwd=environment.outside) as said:
        return said


def test_the_lab_opens_in_a_folder_of_ones_own_and_keeps_changed_notebooks(environment):
    folder = environment.folder / "mine"
    assert "as changed there" not in open_lab(environment, folder)
    assert sorted(path.name for path in folder.glob("*.ipynb")) == NOTEBOOKS
    for name in NOTEBOOKS:
        assert (folder / name).read_bytes() == (ROOT / "notebooks" / name).read_bytes()
    (folder / NOTEBOOKS[1]).write_text("mine")
    (folder / NOTEBOOKS[2]).unlink()
    said = open_lab(environment, folder)
    assert f"bglab: notice: left {NOTEBOOKS[1]} in {folder} as changed there; remove or rename" in said
    assert (folder / NOTEBOOKS[1]).read_text() == "mine"
    assert (folder / NOTEBOOKS[2]).read_bytes() == (ROOT / "notebooks" / NOTEBOOKS[2]).read_bytes()


def test_without_a_folder_the_notebooks_go_to_one_of_bglabs_name(environment):
    open_lab(environment)
    folder = environment.outside / "bglab-notebooks"
    assert sorted(path.name for path in folder.glob("*.ipynb")) == NOTEBOOKS


SERVER = """
import sys
from jupyter_server.serverapp import ServerApp
server = ServerApp(allow_root=True, open_browser=False)
server.initialize(argv=sys.argv[1:], new_httpserver=False)
print(server.web_app.settings["kernel_websocket_connection_class"].__name__)
"""
OWN_CHOICE = (
    "--ServerApp.kernel_websocket_connection_class="
    "jupyter_server.services.kernels.connection.channels.ZMQChannelsWebsocketConnection"
)


def connection_class(environment, *arguments):
    """Return the class that a Jupyter server of this environment makes kernel connections of."""
    done = run(environment.python, "-c", SERVER, *arguments, cwd=environment.outside, env=environment.variables)
    return done.stdout.splitlines()[-1]


def test_every_jupyter_server_sends_small_frames_at_once_unless_told_otherwise(environment):
    config = environment.prefix / "etc" / "jupyter" / "jupyter_server_config.d" / "bglab.json"
    assert json.loads(config.read_text()) == {"ServerApp": {"jpserver_extensions": {"bglab.lab": True}}}
    assert connection_class(environment) == "NoDelayConnection"
    assert connection_class(environment, OWN_CHOICE) == "ZMQChannelsWebsocketConnection"


def test_jupyter_starts_with_a_broken_bglab_and_without_one(wheel, tmp_path):
    environment = Environment(tmp_path)
    environment.pip("install", "--quiet", "--no-index", "--no-deps", wheel)
    first = environment.packages / "bglab" / "__init__.py"
    text = first.read_text()
    first.write_text("raise RuntimeError('broken')")
    assert connection_class(environment) == "ZMQChannelsWebsocketConnection"
    first.write_text(text)
    environment.pip("uninstall", "--quiet", "--yes", "bglab")
    assert not first.exists()
    assert not (environment.prefix / "etc" / "jupyter" / "jupyter_server_config.d" / "bglab.json").exists()
    assert connection_class(environment) == "ZMQChannelsWebsocketConnection"
