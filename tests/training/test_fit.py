"""Training: it learns, interrupted runs resume exactly, and the checkpoint is an ordinary classifier."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from bglab.commands import train
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.evaluation import predict
from bglab.models import create_network, load_classifier
from bglab.models.weights import state_digest
from bglab.scenes import open_scenes, prepare
from bglab.training import PRESETS, fit, history, read_checkpoint
from bglab.training.recipe import NO_AUGMENTATION, Augmentation
from bglab.training.training_set import training_set
from bglab.variants import compose
from fixtures import TESTS
from fixtures.stand_ins import make_scenes

SIZE = 32
QUICK = replace(
    PRESETS["toy"], architecture="test_resnet", size=SIZE, epochs=2, batch_size=16, warmup_epochs=0.0, amp_dtype="none"
)
HERE = {"device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def scenes(data_folder):
    return prepare(make_scenes(per_class=5), SIZE, progress=False)


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("networks") / "quick.pt"
    classifier = fit(QUICK, scenes, out=out, watch={"mixed_rand": compose(scenes, "mixed_rand")}, **HERE)
    return out, classifier


def weights(path):
    return read_checkpoint(path).content["state_dict"]


def same(ours, others):
    return list(ours) == list(others) and all(torch.equal(ours[name], others[name]) for name in ours)


def test_it_learns(data_folder, tmp_path):
    # with rho=1 the scenery tells the class, so a tiny network has something easy to find
    learned = prepare(open_scenes(f"synthetic9?n=180&rho=1&size={SIZE}"), SIZE, progress=False)
    tested = prepare(open_scenes(f"synthetic9?n=45&rho=1&seed=5&size={SIZE}"), SIZE, progress=False)
    recipe = replace(QUICK, epochs=6, augmentation=replace(NO_AUGMENTATION, flip=0.5))
    fit(recipe, learned, out=tmp_path / "net.pt", watch={"new": compose(tested, "original")}, **HERE)
    table = history(tmp_path / "net.pt")
    assert table["accuracy_new"].iloc[-1] > 0.5  # chance is 1/9
    assert table["loss"].iloc[-1] < 0.6 * table["loss"].iloc[0]


def test_the_checkpoint_says_how_it_was_made(trained, scenes):
    out, classifier = trained
    checkpoint = read_checkpoint(out)
    assert checkpoint.is_finished
    assert checkpoint.epoch == 2
    assert replace(checkpoint.recipe, scenes="", pixels="") == QUICK
    assert checkpoint.recipe.scenes == "random"
    assert len(checkpoint.recipe.pixels) == 16
    assert checkpoint.about["pictures"] == 45
    assert checkpoint.about["versions"]["torch"]
    assert "optimizer" not in checkpoint.content
    table = history(out)
    columns = ["epoch", "lr", "loss", "accuracy", "seconds", "images_per_s", "accuracy_mixed_rand"]
    assert table.columns.tolist() == columns
    assert table["epoch"].tolist() == [1, 2]
    assert table["lr"].tolist() == pytest.approx([QUICK.lr_at(0.75), QUICK.lr_at(1.75)])
    # the accuracy in the history is that of predict
    predicted = predict(classifier, compose(scenes, "mixed_rand"), progress=False)
    accuracy = (predicted["label"] == predicted["prediction"]).mean()
    assert table["accuracy_mixed_rand"].iloc[-1] == pytest.approx(accuracy)


def test_the_file_is_an_ordinary_classifier(trained):
    out, classifier = trained
    again = load_classifier(f"file:{out}", engine="torch", device="cpu")
    assert again.spec == classifier.spec
    assert again.spec.space == "in9"
    assert again.classes[0] == "dog"
    assert again.spec.tag == "epoch 2 of 2"
    assert again.spec.input_size == SIZE
    assert again.spec.mean == (0.4717, 0.4499, 0.3837)
    network = create_network("test_resnet", 9)
    network.load_state_dict(weights(out))
    assert state_digest(network) == again.spec.sha256


def test_a_finished_run_is_not_repeated(trained, scenes):
    out, classifier = trained
    before = out.stat().st_mtime_ns
    assert fit(QUICK, scenes, out=out, **HERE).spec == classifier.spec
    # a recipe out of a checkpoint is the same recipe
    assert fit(read_checkpoint(out).recipe, scenes, out=out, **HERE).spec == classifier.spec
    assert out.stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_refused_by_name(trained, tmp_path):
    content = trained[0].read_bytes()
    for place in range(200, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[place] ^= 4
        (tmp_path / "net.pt").write_bytes(bytes(damaged))
        try:
            read = read_checkpoint(tmp_path / "net.pt")
        except BadInput as problem:
            assert "net.pt" in str(problem)  # noqa: PT017 - not every bit of a zip file has a meaning
            continue
        kept = read_checkpoint(trained[0]).content["state_dict"]
        assert all(torch.equal(tensor, kept[name]) for name, tensor in read.content["state_dict"].items())


def test_a_checkpoint_from_before_the_choice_of_algorithms_is_resumed(trained, scenes, tmp_path):
    content = dict(read_checkpoint(trained[0]).content)
    content["recipe"] = {name: value for name, value in content["recipe"].items() if name != "deterministic"}
    torch.save(content, tmp_path / "net.pt")
    assert not read_checkpoint(tmp_path / "net.pt").recipe.deterministic
    assert fit(QUICK, scenes, out=tmp_path / "net.pt", **HERE).spec.sha256 == trained[1].spec.sha256
    with pytest.raises(BadInput, match="but deterministic was False, is True; choose another --out"):
        fit(replace(QUICK, deterministic=True), scenes, out=tmp_path / "net.pt", **HERE)


def test_another_recipe_or_other_data_are_refused(trained, scenes):
    out, _ = trained
    with pytest.raises(BadInput) as error:
        fit(replace(QUICK, lr=0.5, seed=1), scenes, out=out, **HERE)
    kept = read_checkpoint(out).recipe
    now = training_set(replace(QUICK, seed=1), scenes, progress=False).recipe
    assert str(error.value) == (
        f"expected a checkpoint of the same recipe and data in {out}, but lr was 0.1, is 0.5, seed was 0, is 1, pixels "
        f"was '{kept.pixels}', is '{now.pixels}'; choose another --out, or start over with --no-resume"
    )
    other = prepare(make_scenes(per_class=4), SIZE, progress=False)
    with pytest.raises(BadInput, match=f"but pixels was '{kept.pixels}', is '.*'; choose another --out"):
        fit(QUICK, other, out=out, **HERE)
    with pytest.raises(
        BadInput, match=rf"expected the data that the recipe was used on \(random, pixels {kept.pixels}"
    ):
        fit(kept, other, out=out.with_name("elsewhere.pt"), **HERE)
    assert weights(out)


def test_the_same_recipe_gives_the_same_weights_and_leaves_the_caller_s_randomness(trained, scenes, tmp_path):
    torch.manual_seed(12345)
    expected = torch.rand(3)
    torch.manual_seed(12345)
    fit(QUICK, scenes, out=tmp_path / "again.pt", **HERE)
    assert torch.equal(torch.rand(3), expected)
    assert same(weights(trained[0]), weights(tmp_path / "again.pt"))
    fit(replace(QUICK, seed=1), scenes, out=tmp_path / "seed.pt", **HERE)
    assert not same(weights(trained[0]), weights(tmp_path / "seed.pt"))


KILLED = """
import os, signal, sys
from dataclasses import replace
import torch
from bglab.variants import compose
from bglab.scenes import prepare
from bglab.training import fit
from fixtures.stand_ins import make_scenes
from training.test_fit import DROPPING, HERE, SIZE

torch.set_num_threads(int(sys.argv[2]))
whole, steps = compose(prepare(make_scenes(per_class=5), SIZE, progress=False), "mixed_rand"), []

def deadly(positions, device):
    steps.append(positions)
    if len(steps) == 4:  # two steps an epoch: in the middle of the second
        os.kill(os.getpid(), signal.SIGKILL)
    return whole.images(positions, device)

fit(DROPPING, replace(whole, images=deadly), out=sys.argv[1], **HERE)
"""

#: With dropout, so that a stream of random numbers would show.
DROPPING = replace(QUICK, architecture="tv_mobilenet_v3_small", epochs=3)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(scenes, tmp_path):
    out, whole = tmp_path / "killed.pt", tmp_path / "whole.pt"
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", KILLED, str(out), str(torch.get_num_threads())]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    left = read_checkpoint(out)
    assert (left.epoch, left.is_finished) == (1, False)
    assert left.content["optimizer"]["state"]
    # an unfinished checkpoint is a classifier, too
    assert load_classifier(f"file:{out}", engine="torch", device="cpu").spec.tag == "epoch 1 of 3"
    dataset = compose(scenes, "mixed_rand")
    fit(DROPPING, dataset, out=out, **HERE)
    fit(DROPPING, dataset, out=whole, **HERE)
    assert same(weights(out), weights(whole))
    for column in ("epoch", "lr", "loss", "accuracy"):
        assert history(out)[column].tolist() == history(whole)[column].tolist()


def test_a_failed_write_leaves_the_last_checkpoint(scenes, tmp_path, monkeypatch):
    out, real = tmp_path / "net.pt", torch.save

    def full(content, path):
        real(content, path)
        if content["epoch"] == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BadInput) as error:
        fit(QUICK, scenes, out=out, **HERE)
    assert str(error.value) == (
        f"expected to write a checkpoint to {out}, but No space left on device; free some space and run the same "
        "command again to resume from the last saved epoch"
    )
    assert read_checkpoint(out).epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_other_files_are_left_alone(scenes, tmp_path, trained):
    text = tmp_path / "notes.pt"
    text.write_text("not a checkpoint")
    with pytest.raises(
        BadInput, match=f"expected a checkpoint of bglab train in {text}, but .*; remove the file, choose"
    ):
        fit(QUICK, scenes, out=text, **HERE)
    assert text.read_text() == "not a checkpoint"
    plain = tmp_path / "plain.pt"
    torch.save({"state_dict": {}}, plain)
    with pytest.raises(BadInput, match="but it is not a file of the format 'bglab training 1'; remove the file"):
        read_checkpoint(plain)
    with pytest.raises(MissingData) as error:
        history(tmp_path / "absent.pt")
    assert str(error.value) == (
        f"expected a checkpoint at {tmp_path / 'absent.pt'}, got no such file; make one with bglab train --out "
        f"{tmp_path / 'absent.pt'}"
    )
    with pytest.raises(BadInput, match="expected --out to name a file without a question mark, got .*; write for"):
        fit(QUICK, scenes, out=tmp_path / "net?.pt", **HERE)
    with pytest.raises(BadInput, match="expected to write a checkpoint to .*, but its folder cannot be written"):
        fit(QUICK, scenes, out=trained[0] / "net.pt", **HERE)


def test_unknown_names(scenes, tmp_path):
    with pytest.raises(UnknownName, match="unknown architecture 'resnet5'; did you mean 'resnet50'"):
        fit(replace(QUICK, architecture="resnet5"), scenes, out=tmp_path / "n.pt", **HERE)
    with pytest.raises(UnknownName, match="unknown variant 'mixed-rand'; did you mean 'mixed_rand'"):
        fit(replace(QUICK, variants=("mixed-rand",)), scenes, out=tmp_path / "n.pt", **HERE)


def test_a_run_that_diverges_says_so(scenes, tmp_path):
    with pytest.raises(BadInput) as error:
        fit(replace(QUICK, architecture="test_vit", lr=100.0, epochs=9), scenes, out=tmp_path / "n.pt", **HERE)
    assert str(error.value).startswith("expected the loss to fall, but it is no longer finite in epoch ")
    assert str(error.value).endswith("; train with a lower --lr than 100")


def test_sets_with_classes_of_their_own(tmp_path):
    own = replace(make_scenes(2), space="voc", classes=tuple("abcdefghi"), fingerprint="own")
    prepared = prepare(own, SIZE, progress=False)
    classifier = fit(replace(QUICK, epochs=1), prepared, out=tmp_path / "own.pt", **HERE)
    assert classifier.spec.space == "voc"
    assert classifier.classes == tuple("abcdefghi")
    assert classifier.spec.mean == (0.485, 0.456, 0.406)
    assert len(predict(classifier, compose(prepared, "original"), progress=False)) == 18


def test_impossible_batch_sizes_are_refused(scenes, tmp_path):
    from bglab.training.fit import _batch_sizes

    assert _batch_sizes(100, 30, 1) == [30, 30, 30]
    assert _batch_sizes(21, 30, 2) == [20]
    with pytest.raises(BadInput) as error:
        _batch_sizes(100, 30, 4)
    assert str(error.value) == (
        "expected a batch size divisible by the 4 processes, got 30; train with --batch-size 32"
    )
    with pytest.raises(BadInput, match="expected at least 2 images to train on, got 1; choose other scenes"):
        _batch_sizes(1, 30, 1)


def test_the_callback_sees_every_epoch(scenes, tmp_path):
    seen = []
    fit(QUICK, scenes, out=tmp_path / "net.pt", callback=lambda table: seen.append(table["epoch"].tolist()), **HERE)
    assert seen == [[1], [1, 2]]


@pytest.mark.parametrize("amp_dtype", ["bfloat16", "float16"])
def test_mixed_precision_trains(scenes, tmp_path, amp_dtype):
    recipe = replace(QUICK, amp_dtype=amp_dtype, epochs=1, augmentation=Augmentation())
    fit(recipe, scenes, out=tmp_path / "net.pt", **HERE)
    assert all(v.dtype in {torch.float32, torch.int64} for v in weights(tmp_path / "net.pt").values())


TOGETHER = """
import sys
from bglab.scenes import prepare
from bglab.training import fit
from fixtures.stand_ins import make_scenes
from training.test_fit import HERE, NORMLESS, SIZE

fit(NORMLESS, prepare(make_scenes(per_class=5), SIZE, progress=False), out=sys.argv[1], **HERE)
"""

#: Without batch normalisation, whose statistics are each process's own on a processor.
NORMLESS = replace(QUICK, architecture="test_vit", lr=0.01)


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(scenes, tmp_path):
    script, out, alone = tmp_path / "together.py", tmp_path / "two.pt", tmp_path / "one.pt"
    script.write_text(TOGETHER)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
        str(out),
    ]
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    fit(NORMLESS, scenes, out=alone, **HERE)
    ours, others = weights(out), weights(alone)
    assert all(torch.allclose(ours[name], others[name], atol=1e-5) for name in others)
    assert history(out)["loss"].tolist() == pytest.approx(history(alone)["loss"].tolist(), rel=1e-5)
    fresh = create_network("test_vit", 9, SIZE).state_dict()
    assert not any(torch.equal(others[name], fresh[name]) for name in others if others[name].std() > 0)


def run(*arguments):
    parser = argparse.ArgumentParser()
    train.add(parser.add_subparsers())
    options = parser.parse_args(["train", *map(str, arguments)])
    return options.run(options)


def test_the_command_line(tmp_path, capsys):
    arguments = ["--scenes", f"synthetic9?n=36&size={SIZE}", "--variant", "mixed_same", "--out", tmp_path / "net.pt"]
    arguments += ["--arch", "test_resnet", "--epochs", 1, "-b", 16, "--size", SIZE, "--lr", 0.05, "--seed", 3]
    arguments += ["--device", "cpu", "--amp-dtype", "none"]
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("test_resnet was trained on mixed_same: 1 epochs of 36 images in ")
    assert printed.endswith(f" % training accuracy; load it as file:{tmp_path / 'net.pt'}\n")
    made = read_checkpoint(tmp_path / "net.pt").recipe
    expected = replace(
        PRESETS["toy"], architecture="test_resnet", variants=("mixed_same",), epochs=1, batch_size=16, size=SIZE,
        lr=0.05, seed=3, amp_dtype="none",
    )  # fmt: skip
    assert replace(made, scenes="", pixels="") == expected
    assert run(*arguments) == 0
    assert capsys.readouterr().out.startswith("test_resnet was already trained on mixed_same: 1 epochs of 36 images")
    with pytest.raises(BadInput, match="but lr was 0.05, is 0.2; choose another --out, or start over with --no-resume"):
        run(*arguments, "--lr", 0.2)
    assert run(*arguments, "--lr", 0.2, "--no-resume") == 0
    assert read_checkpoint(tmp_path / "net.pt").recipe.lr == 0.2
    assert run(*arguments, "--deterministic", "--no-resume") == 0
    assert read_checkpoint(tmp_path / "net.pt").recipe == replace(made, deterministic=True)
    with pytest.raises(BadInput, match="but deterministic was True, is False; choose another --out"):
        run(*arguments)
