"""Panoramas: what a view shows, tones, and files that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from bglab.errors import BadInput, MissingData
from bglab.images import panoramas as panoramas_module
from bglab.images import perspective_view, read_panorama, tone_map


def save_exr(path, pixels, name="RGB"):
    exr = pytest.importorskip("OpenEXR")
    with exr.File({"type": exr.scanlineimage}, {name: np.ascontiguousarray(pixels)}) as file:
        file.write(str(path))


def directions(height=64):
    """Return a panorama whose colours are the direction's unit vector, shifted to be positive."""
    turn = (np.arange(2 * height) + 0.5) / (2 * height)
    rise = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    angle, up = np.meshgrid(2 * np.pi * turn, rise)
    vector = np.stack([np.cos(up) * np.sin(angle), np.sin(up), np.cos(up) * np.cos(angle)], axis=-1)
    return (vector + 2).astype(np.float32)


@pytest.mark.parametrize(("turn", "pitch"), [(0.5, 0.0), (0.25, -20.0), (0.98, 35.0)])
def test_a_view_shows_the_directions_that_a_pinhole_camera_sees(turn, pitch):
    view = perspective_view(directions(256), 33, turn=turn, pitch=pitch, field_of_view=70) - 2
    middle = view[16, 16] / np.linalg.norm(view[16, 16])
    angle, rise = 2 * np.pi * turn, np.radians(pitch)
    wanted = [np.cos(rise) * np.sin(angle), np.sin(rise), np.cos(rise) * np.cos(angle)]
    np.testing.assert_allclose(middle, wanted, atol=0.02)
    # the angle between the middle of the left and of the right edge: pixel centres lie half a pixel inside
    left, right = (view[16, i] / np.linalg.norm(view[16, i]) for i in (0, -1))
    expected = 2 * np.degrees(np.arctan(np.tan(np.radians(35)) * 32 / 33))
    assert np.degrees(np.arccos(left @ right)) == pytest.approx(expected, abs=1)
    assert view[0, 16, 1] > view[-1, 16, 1], "the sky is up"


def test_a_view_across_the_seam_is_whole():
    panorama = np.zeros((32, 64, 3), np.float32)
    panorama[:, :3] = panorama[:, -3:] = 1
    view = perspective_view(panorama, 16, turn=0.0, pitch=0, field_of_view=20)
    np.testing.assert_allclose(view, 1, atol=1e-5)


def test_tones_keep_order_and_compress_highlights():
    light = np.geomspace(0.01, 1000, 256, dtype=np.float32).reshape(16, 16, 1).repeat(3, axis=-1)
    image = tone_map(light)
    levels = image[..., 0].ravel().astype(int)
    assert (np.diff(levels) >= 0).all()
    assert levels[0] < 20
    assert levels[-1] == 255
    np.testing.assert_allclose(tone_map(light * 50).astype(int), image.astype(int), atol=1)
    assert tone_map(np.zeros((4, 4, 3), np.float32)).max() == 0


def test_files_are_read_and_those_that_cannot_be_are_named(tmp_path):
    save_exr(tmp_path / "all.exr", np.full((4, 8, 3), 0.5, np.float32))
    np.testing.assert_array_equal(read_panorama(tmp_path / "all.exr"), np.full((4, 8, 3), 0.5))
    save_exr(tmp_path / "alpha.exr", np.full((4, 8, 4), 0.5, np.float32), "RGBA")
    assert read_panorama(tmp_path / "alpha.exr").shape == (4, 8, 3)
    save_exr(tmp_path / "square.exr", np.ones((8, 8, 3), np.float32))
    with pytest.raises(BadInput, match=r"square.exr, got 8 × 8 pixels"):
        read_panorama(tmp_path / "square.exr")
    (tmp_path / "text.exr").write_text("not an image")
    with pytest.raises(BadInput, match=r"OpenEXR image in .*text.exr"):
        read_panorama(tmp_path / "text.exr")


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(panoramas_module, "can_read_panoramas", lambda: False)
    with pytest.raises(MissingData, match=r"pip install 'bglab\[demo\]'"):
        read_panorama(tmp_path / "all.exr")
