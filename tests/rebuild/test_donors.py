"""Backgrounds of mixed images, found from their pixels."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput, MissingData
from bglab.labels import IN9, IN9_NAMES
from bglab.rebuild import donors as module
from bglab.rebuild import repair, write_repair
from bglab.scenes import PreparedImages, PublishedImage, open_scenes
from fixtures import layouts
from fixtures.layouts import in9_id, truncate

COLUMNS = ["variant", "file", "fg", "bg", "bg_class", "distance", "margin"]


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A release: backgrounds of class + 4 under incorrect names in mixed_rand, unpublished ones in mixed_same."""
    with pytest.MonkeyPatch.context() as patched:
        # the size of the real release, so that blocks of JPEG are what they are there
        patched.setattr(layouts, "SIZE", 224)
        patched.setattr(layouts, "BOX", (56, 42, 158, 178))
        return layouts.write_in9(tmp_path_factory.mktemp("release"), per_class=2)


@pytest.fixture
def copied(release, tmp_path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "bg_challenge"))


@pytest.fixture(scope="module")
def found(release):
    return repair(open_scenes(f"in9:{release}"), progress=False)


def rows_of(result, variant: str) -> list:
    return [row for row in result.table.itertuples() if row.variant == variant]


def test_the_correct_background_behind_an_incorrect_name(found):
    rows = rows_of(found, "mixed_rand")
    assert len(rows) == 18
    for row in rows:
        label = next(i for i, coarse in enumerate(IN9) if row.file.startswith(coarse.folder))
        number = int(row.fg.split("_")[1])
        assert row.bg == in9_id((label + 4) % 9, number)
        assert row.bg_class == IN9_NAMES[(label + 4) % 9]
        assert row.bg not in row.file
        assert row.distance < 2
        assert row.margin > 5
    assert found.agreement["mixed_rand"] == (0, 18)


def test_correct_names_are_confirmed(found):
    for row in rows_of(found, "mixed_next"):
        assert row.file.endswith(f"fg_{row.fg}_bg_{row.bg}.JPEG")
    assert found.agreement["mixed_next"] == (18, 18)


def test_a_background_that_the_pool_lacks_is_left_empty_and_counted(found):
    rows = rows_of(found, "mixed_same")
    shown_by_number = {row.fg for row in rows}
    assert len(shown_by_number) == 18
    for row in rows:
        assert (row.bg, row.bg_class) == ("", "")
        assert row.distance > 8
    assert found.agreement["mixed_same"] == (0, 0)
    reasons = [rejection.reason for rejection in found.unmatched]
    assert len(reasons) == 18
    assert all(
        r.startswith("expected its background among the 18 Only-BG-T images, but the nearest, ") for r in reasons
    )


def test_notices_report_what_is_wrong(found):
    assert found.notices == (
        "18 of 18 file names of mixed_rand state another background than the image has; the table contains the one it "
        "has",
        "18 of 18 images of mixed_same match none of the release's Only-BG-T images, or could not be compared; "
        "their bg is empty (the first: 00_dog/fg_n02085620_0_bg_n02085620_7.JPEG)",
    )


@pytest.mark.parametrize("quality", [85, 60, 40])
def test_compression_does_not_mislead(copied, quality):
    for file in (copied / "mixed_rand").rglob("*.JPEG"):
        with Image.open(file) as image:
            content = io.BytesIO()
            image.save(content, "JPEG", quality=quality)
        file.write_bytes(content.getvalue())
    again = repair(open_scenes(f"in9:{copied}"), variants=["mixed_rand"], progress=False)
    for row in again.table.itertuples():
        label = next(i for i, coarse in enumerate(IN9) if row.file.startswith(coarse.folder))
        assert row.bg == in9_id((label + 4) % 9, int(row.fg.split("_")[1]))


def test_a_true_background_removed_from_the_pool(copied):
    gone = in9_id(4, 0)
    next((copied / "only_bg_t").rglob(f"{gone}.JPEG")).unlink()
    again = repair(open_scenes(f"in9:{copied}"), variants=["mixed_rand"], progress=False)
    empty = [row for row in again.table.itertuples() if not row.bg]
    assert [row.fg for row in empty] == [in9_id(0, 0)]
    assert empty[0].distance > 8
    assert again.agreement == {"mixed_rand": (0, 17)}


def test_backgrounds_that_look_alike_are_ambiguous(copied):
    one = next((copied / "only_bg_t").rglob(f"{in9_id(4, 0)}.JPEG"))
    shutil.copyfile(one, one.with_name(f"{in9_id(4, 1)}.JPEG"))
    again = repair(open_scenes(f"in9:{copied}"), variants=["mixed_rand"], progress=False)
    row = next(row for row in again.table.itertuples() if row.fg == in9_id(0, 0))
    assert row.bg in {in9_id(4, 0), in9_id(4, 1)}
    assert row.margin == 0
    assert any(notice.startswith("1 of 17 backgrounds of mixed_rand are less than 1 grey") for notice in again.notices)


def test_images_that_cannot_be_compared_are_named(copied):
    broken, unmasked, covered = sorted((copied / "mixed_rand" / "val" / "03_reptile").parent.rglob("*.JPEG"))[:3]
    truncate(broken)
    names = [file.stem.split("_bg_")[0].removeprefix("fg_") for file in (unmasked, covered)]
    next((copied / "fg_mask").rglob(f"{names[0]}.npy")).unlink()
    full = np.ones((224, 224), dtype=bool)
    full[0, 0] = False
    np.save(next((copied / "fg_mask").rglob(f"{names[1]}.npy")), full)
    again = repair(open_scenes(f"in9:{copied}"), variants=["mixed_rand"], progress=False)
    assert len(again.table) == 18
    reasons = {Path(rejection.file).name: rejection.reason for rejection in again.unmatched}
    assert set(reasons) == {broken.name, unmasked.name, covered.name}
    assert reasons[broken.name].startswith(f"expected a complete image in {broken}, but reading it failed")
    assert reasons[unmasked.name] == (
        f"expected scene {names[0]} among those of in9:bg_challenge, but it has no usable original and mask"
    )
    assert reasons[covered.name] == (
        f"expected some background around the foreground of {covered}, but its mask leaves none"
    )
    empty = again.table[again.table.bg == ""]
    assert empty.distance.isna().all()
    assert len(empty) == 3


def test_a_missing_variant_is_named_and_the_others_go_on(copied):
    shutil.rmtree(copied / "mixed_next")
    again = repair(open_scenes(f"in9:{copied}"), progress=False)
    assert set(again.table.variant) == {"mixed_rand", "mixed_same"}
    assert again.notices[0].startswith("mixed_next is skipped: expected the published images of mixed_next in ")


def test_nothing_to_repair(copied, tmp_path):
    generated = open_scenes("synthetic9?n=9&size=32")
    with pytest.raises(BadInput) as problem:
        repair(generated, progress=False)
    assert str(problem.value) == (
        f"expected a release with mixed images, as in in9:PATH, but {generated.name} has scenes only"
    )
    for variant in module.MIXED:
        shutil.rmtree(copied / variant)
    with pytest.raises(MissingData, match="expected images of mixed_same, mixed_rand, mixed_next in in9:"):
        repair(open_scenes(f"in9:{copied}"), progress=False)
    shutil.rmtree(copied / "only_bg_t")
    with pytest.raises(MissingData, match="expected the published images of only_bg_t in "):
        repair(open_scenes(f"in9:{copied}"), progress=False)


def test_the_matrix_products_are_the_plain_sums():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 3, 224, 224), dtype=np.uint8)
    plates = rng.integers(0, 256, (7, 3, 224, 224), dtype=np.uint8)
    shown = rng.random((5, 784)) < 0.5
    means, cells = module._cell_means(images), module._cell_means(plates)

    published = tuple(PublishedImage(str(i), "", Path(), 0) for i in range(7))
    errors = module._cell_errors(means, shown, module._Pool(PreparedImages(published, plates, (), "")))
    for i in range(5):
        for j in range(7):
            plain = np.sqrt(((means[i] - cells[j])[:, shown[i]] ** 2).mean())
            assert errors[i, j] == pytest.approx(plain, rel=1e-4)


def test_the_table_as_csv(found, tmp_path):
    file = write_repair(found, tmp_path / "new" / "backgrounds.csv")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == COLUMNS
    assert [(r["variant"], r["file"]) for r in rows] == sorted((r["variant"], r["file"]) for r in rows)
    assert len(rows) == 54
    assert [entry.name for entry in file.parent.iterdir()] == ["backgrounds.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"expected to write the backgrounds to .*, but .*; choose another --out"):
        write_repair(found, tmp_path / "file" / "b.csv")


def test_repair_on_the_command_line(release, tmp_path, capsys):
    from bglab.commands import rebuild as commands
    from fixtures.parsers import run

    assert run(commands.add, ["repair", f"in9:{release}", "--out", str(tmp_path / "b.csv")]) == 0
    captured = capsys.readouterr()
    assert "mixed_rand: 18 backgrounds found, 0 of them as stated by the file name\n" in captured.out
    assert "bglab: notice: 18 of 18 file names of mixed_rand state another background" in captured.err
    assert (tmp_path / "b.csv").is_file()


def test_every_background_of_the_mini_release(mini):
    """Compare with a brute-force search over all backgrounds, outside the mask."""
    root = mini / "bg_challenge"
    result = repair(open_scenes(f"in9:{mini}"), progress=False)
    assert not result.unmatched
    assert len(result.table) == 3 * 96
    assert result.agreement["mixed_same"] == result.agreement["mixed_next"] == (96, 96)
    assert result.table["distance"].max() < 1
    assert result.table["margin"].min() > 5
    pool = sorted((root / "only_bg_t").rglob("*.JPEG"))
    plates = np.stack([np.asarray(Image.open(file)) for file in pool])[:, ::4, ::4].astype(np.int16)
    for row in rows_of(result, "mixed_rand"):
        image = np.asarray(Image.open(root / "mixed_rand" / "val" / row.file))[::4, ::4]
        mask = np.load(next((root / "fg_mask").rglob(f"{row.fg}.npy")))[::4, ::4]
        errors = np.abs(plates - image)[:, ~mask].mean(axis=(1, 2))
        assert pool[int(errors.argmin())].stem == row.bg
        assert errors.min() < 2  # the same pixels but for the JPEG
        assert pool[int(errors.argmin())].parent.name == IN9[IN9_NAMES.index(row.bg_class)].folder
