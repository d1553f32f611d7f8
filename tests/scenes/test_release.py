"""The release of Noise or Signal is recognised by names and content, and nothing that looks like it is."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace

import pytest

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, Unreadable
from bglab.labels import IN9
from bglab.scenes import archives, content_digest, open_scenes, recognise_release, release
from fixtures.layouts import in9_id, write_in9

DOGS, BIRDS = IN9[0].folder, IN9[1].folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_in9(tmp_path_factory.mktemp("release"), per_class=2)


@pytest.fixture
def root(pristine, tmp_path, monkeypatch):
    """A copy to change, in a world where the release has two images per class and nothing has been fetched."""
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(release, "PER_CLASS", 2)
    return shutil.copytree(pristine, tmp_path / "bg_challenge")


def recognised(root, options=""):
    return recognise_release(open_scenes(f"in9:{root}{options}"))


def fetched(digest):
    archives()["in9"].content_note.write_text(f"{digest}\n")


def published(monkeypatch, digest):
    known = replace(archives()["in9"], content_sha256=digest)
    monkeypatch.setattr(release, "archives", lambda: Catalogue("archive", {"in9": known}))


def test_the_digest_is_that_of_sha256sum(tmp_path):
    (tmp_path / "b").mkdir()
    for name, content in {"b/c": b"one", "a": b"two", ".hidden": b"three", "b/.DS_Store": b""}.items():
        (tmp_path / name).write_bytes(content)
    lines = f"{hashlib.sha256(b'two').hexdigest()}  a\n{hashlib.sha256(b'one').hexdigest()}  b/c\n"
    assert content_digest(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()


def test_names_that_are_not_utf_8_are_hashed_as_they_are(tmp_path):
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"one")
    lines = hashlib.sha256(b"one").hexdigest().encode() + b"  \xff\n"
    assert content_digest(tmp_path) == hashlib.sha256(lines).hexdigest()


def test_names_alone_are_not_verified(root):
    found = recognised(root)
    assert found.state == "unverified"
    assert content_digest(root) in found.reason


def test_a_fetched_set_is_recognised_until_one_pixel_changes(root):
    fetched(content_digest(root))
    assert recognised(root).state == "recognised"
    assert "unchanged since it was fetched from https://github.com/MadryLab/" in recognised(root).reason
    image = next((root / "mixed_rand" / "val" / DOGS).iterdir())
    content = bytearray(image.read_bytes())
    content[-10] ^= 1
    image.write_bytes(bytes(content))
    assert recognised(root).state == "other"


def test_a_published_digest_outranks_what_was_fetched(root, monkeypatch):
    fetched("0" * 64)
    published(monkeypatch, content_digest(root))
    assert recognised(root).state == "recognised"
    published(monkeypatch, "f" * 64)
    fetched(content_digest(root))
    assert recognised(root).state == "other"


def test_other_backgrounds_are_not_those_of_the_release(root):
    fetched(content_digest(root))
    assert recognised(root, "?plates=tiled").state == "other"


def renamed(root):
    """Name the scenes as no ImageNet image is named, in all variants."""
    for file in root.rglob(f"*{in9_id(0, 0)}*"):
        file.rename(file.with_name(file.name.replace(in9_id(0, 0), "photo_0")))


def misplaced(root):
    """Move a scene of the dogs to the birds, in all variants, and one of the birds to the dogs."""
    for here, there, scene in ((DOGS, BIRDS, in9_id(0, 0)), (BIRDS, DOGS, in9_id(1, 0))):
        for file in [f for f in root.rglob("*") if f.parent.name == here and f.name.startswith((scene, f"fg_{scene}"))]:
            file.rename(file.parents[1] / there / file.name)


def lacking(root):
    next((root / "only_fg" / "val" / DOGS).iterdir()).unlink()


def crowded(root):
    source = next((root / "no_fg" / "val" / DOGS).iterdir())
    shutil.copy(source, source.with_name(f"{in9_id(0, 9)}.JPEG"))


def without_masks(root):
    shutil.rmtree(root / "fg_mask" / "val" / BIRDS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (renamed, "original has 1 images of the class dog with names of ImageNet, not 2"),
        (misplaced, f"{in9_id(1, 0)} is named after a WordNet id that is not in the class dog"),
        (lacking, "only_fg is not made from the same 2 scenes of the class dog as original"),
        (crowded, "no_fg is not made from the same 2 scenes of the class dog as original"),
        (without_masks, "fg_mask is not made from the same 2 scenes of the class bird as original"),
    ],
)
def test_a_look_alike_is_refused_by_its_names(root, change, reason):
    change(root)
    fetched(content_digest(root))  # even if somebody claims that it was fetched
    assert recognised(root) == ("other", reason)


def test_450_images_per_class_of_anything_are_not_the_release(tmp_path):
    blank = write_in9(tmp_path / "one", per_class=1)
    image = next((blank / "original" / "val" / DOGS).iterdir())
    for coarse in IN9:
        folder = tmp_path / "bg_challenge" / "original" / "val" / coarse.folder
        folder.mkdir(parents=True)
        masks = tmp_path / "bg_challenge" / "fg_mask" / "val" / coarse.folder
        masks.mkdir(parents=True)
        for number in range(450):
            (folder / f"photo_{number}.JPEG").hardlink_to(image)
            (masks / f"photo_{number}.npy").hardlink_to(image)
    scenes = open_scenes(f"in9:{tmp_path / 'bg_challenge'}")
    assert len(scenes.published("original")) == 4050
    assert recognise_release(scenes).state == "other"


def test_other_sources_and_splits_are_not_the_release(root):
    assert recognise_release(open_scenes("synthetic9?n=9&size=32")).state == "other"
    for variant in root.iterdir():
        (variant / "val").rename(variant / "train")
    assert recognised(root, "?split=train").state == "other"


def test_no_digest_is_made_of_a_part_of_the_files(root, unlistable):
    unlistable(root / "original" / "val")
    with pytest.raises(Unreadable, match="original/val, but Permission denied"):
        content_digest(root)


def test_there_is_no_digest_of_nothing(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match="expected files to compare below"):
            content_digest(folder)
