"""URIs, paths, folders, networks and scenes are taken alike by everything that needs a classifier or scenes."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import bglab
from bglab.errors import BadInput

SCENES = "synthetic9?n=18&size=32"


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    import timm

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pt"
    state = timm.create_model("test_resnet", num_classes=9).state_dict()
    torch.save({"architecture": "test_resnet", "state_dict": state, "input_size": 32}, path)
    return path


@pytest.mark.parametrize("form", ["path", "text", "uri"])
def test_a_checkpoint_is_named_by_its_path(checkpoint, form):
    model = {"path": checkpoint, "text": str(checkpoint), "uri": f"file:{checkpoint}"}[form]
    table = bglab.predict(model, bglab.compose(SCENES, "original", size=32, progress=False), progress=False)
    assert table["model"].unique().tolist() == [f"file:{checkpoint}"]
    assert len(table) == 18


def test_scenes_alone_are_their_unmodified_images():
    model = bglab.classifier(network(), name="n", size=32, engine="torch", device="cpu")
    scenes = bglab.open_scenes(SCENES)
    table = bglab.predict(model, bglab.prepare(scenes, 32, progress=False), progress=False)
    assert table["variant"].unique().tolist() == ["original"]


def test_a_module_is_taken_by_search_and_saliency():
    prepared = bglab.prepare(bglab.open_scenes(SCENES), 32, progress=False)
    pairs = bglab.search_matrix(network(), prepared, progress=False)
    assert pairs.native.shape[0] == 18
    hits = bglab.first_hit(network(), prepared, progress=False)
    assert 0 <= hits.share <= 1
    rows = bglab.saliency_table(network(), prepared, progress=False)
    assert len(rows) == 18
    explained = bglab.explain_scenes(network(), prepared, [prepared.scenes.ids[0]])
    assert explained.maps.shape[0] == 1
    assert bglab.GradCam(network()).cam(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).maps.ndim == 3


def test_a_folder_is_named_by_its_path(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind / "dog").mkdir(parents=True)
    Image.new("RGB", (64, 64), "gray").save(tmp_path / "images" / "dog" / "a.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    mask.save(tmp_path / "masks" / "dog" / "a.png")
    for form in (tmp_path, str(tmp_path), f"folder:{tmp_path}"):
        assert list(bglab.open_scenes(form).ids) == ["dog/a"]
    assert len(bglab.compose(Path(tmp_path), "original", size=32, progress=False)) == 1


def test_scenes_are_named_by_their_uri(checkpoint):
    prepared = bglab.prepare(SCENES, 32, progress=False)
    scene = prepared.scenes.ids[3]
    explained = bglab.explain_scenes(checkpoint, prepared, [scene])
    assert (explained.images[0] == prepared.images[3]).all()
    assert bglab.explain_scenes(checkpoint, SCENES, [scene]).images.shape == (1, 3, 224, 224)


@pytest.mark.parametrize("wrong", [3, None, torch.zeros(1), ["cutouts"]])
def test_a_wrong_type_gets_a_sentence(unchecked, wrong):
    with pytest.raises(BadInput, match="expected (scenes: a URI|the URI of scenes|one classifier)"):
        bglab.compose(wrong, "original")
    with pytest.raises(BadInput, match="expected the URI of scenes such as 'cutouts'"):
        bglab.open_scenes(wrong)
    with pytest.raises(BadInput, match="expected (a|one) classifier"):
        bglab.predict(wrong, bglab.compose(SCENES, "original", size=32, progress=False))
    with pytest.raises(BadInput, match="expected (a|one) classifier"):
        bglab.search_matrix(wrong, SCENES, size=32, progress=False)


def test_arguments_in_the_other_order_get_a_sentence(unchecked):
    scenes = bglab.open_scenes(SCENES)
    with pytest.raises(BadInput, match="expected a classifier, the URI of one such as 'lite:efficientnet_lite0', the"):
        bglab.predict(scenes, SCENES)
    with pytest.raises(BadInput, match="expected a classifier, the URI of one such as .* got SceneSet"):
        bglab.explore("lite:efficientnet_lite0", scenes)


def test_the_explorer_takes_them_too(checkpoint):
    explorer = bglab.explore(SCENES, [checkpoint, network()], size=32)
    try:
        assert [found.model for found in explorer.inspections] == [f"file:{checkpoint}", "own:Sequential"]
    finally:
        explorer.retire()
    with pytest.raises(BadInput, match="expected at least one classifier, got none"):
        bglab.explore(SCENES, [], size=32)
    search = bglab.search_live(bglab.open_scenes(SCENES).ids[0], checkpoint, SCENES, size=32)
    search.explorer.retire()
    search.close()
