"""The browser composes the same image as the kernel, to within one grey level."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import torch

from bglab.saliency import upsample
from bglab.variants import VARIANTS, Adjustment, Draw, SceneBatch, adjusted, object_region, render
from bglab.widgets.live_widget import module_of
from fixtures.chromium import open_page

SIZE = 64

ADJUSTMENTS = [
    Adjustment(),
    Adjustment(mix=0.37),
    Adjustment(mix=0.0),
    Adjustment(background_blur=2.3),
    Adjustment(background_blur=10.0, mix=0.9),
    Adjustment(brightness=1.37),
    Adjustment(brightness=0.4, background_blur=1.0),
    Adjustment(feather=2.5),
    Adjustment(grow=4),
    Adjustment(grow=-3, feather=1.2),
    Adjustment(dx=0.13, dy=-0.21),
    Adjustment(scale=1.7),
    Adjustment(scale=0.43, dx=-0.3, flip=True),
    Adjustment(flip=True),
    Adjustment(
        mix=0.61, background_blur=3.0, brightness=1.2, feather=1.5, grow=2, dx=0.07, dy=0.11, scale=0.8, flip=True
    ),
]


@pytest.fixture(scope="module")
def page():
    with open_page() as page:
        page.goto("about:blank")
        yield page


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, size=(2, 3, SIZE, SIZE), dtype=np.uint8)
    # a disc, a border and single pixels, as hard cases for growing and feathering
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = ((x - 30) ** 2 + (y - 26) ** 2 < 15**2) | (rng.random((SIZE, SIZE)) < 0.01) | (x > 58)
    return SceneBatch(
        ("scene",),
        torch.from_numpy(levels[:1]),
        torch.from_numpy(mask)[None],
        torch.from_numpy(levels[1:]),
        torch.tensor([[4, 4, 60, 60]], dtype=torch.int32),
    )


def in_the_browser(page, scene, adjustment):
    """Compose a state with the widget's own module; return RGB levels."""

    def packed(tensor):
        return base64.b64encode(tensor.contiguous().numpy().tobytes()).decode()

    layers = {
        "image": packed(scene.images[0]),
        "front": packed(scene.images[0]),
        "alpha": packed(scene.masks[0].byte()),
        "plate": packed(scene.plates[0]),
    }
    levels = page.evaluate(
        """async ([source, size, packed, state]) => {
            const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
            const {Composer} = await import(url);
            const layers = Object.fromEntries(Object.entries(packed).map(([name, text]) =>
                [name, Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]));
            const image = new Composer(size, layers).compose(state);
            return Array.from(image);
        }""",
        [module_of("composer.js"), SIZE, layers, adjustment._asdict()],
    )
    return np.array(levels, dtype=np.int64).reshape(SIZE, SIZE, 4)[..., :3].transpose(2, 0, 1)


@pytest.mark.browser
@pytest.mark.parametrize("adjustment", ADJUSTMENTS, ids=lambda a: a.words or "unchanged")
def test_canvas_and_kernel_agree(page, scene, adjustment):
    variant = adjusted(VARIANTS["on_own_tiled"], adjustment)
    kernel = render(variant, scene, scene)[0].numpy().astype(np.int64)
    browser = in_the_browser(page, scene, adjustment)
    assert np.abs(kernel - browser).max() <= 1
    assert (kernel != browser).mean() < 0.02
    assert len(np.unique(kernel)) > 200  # neither is blank


COLOUR_MAP = """async ([source, values, height, width, size]) => {
    const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    const {colourMap} = await import(url);
    const table = Uint8Array.from({length: 768}, (_, i) => Math.floor(i / 3));
    return Array.from(colourMap(Float32Array.from(values), height, width, size, table));
}"""


@pytest.mark.browser
def test_the_overlay_is_the_map_scaled_to_its_maximum(page):
    values = np.random.default_rng(1).gamma(0.5, size=(5, 7)).astype(np.float32)
    source = module_of("composer.js")
    drawn = page.evaluate(COLOUR_MAP, [source, values.ravel().tolist(), *values.shape, SIZE])
    drawn = np.array(drawn, dtype=np.int64).reshape(SIZE, SIZE, 4)
    large = upsample(torch.from_numpy(values)[None], SIZE, SIZE)[0].numpy()
    levels = 255 * large / values.max()
    assert np.abs(drawn[..., 0] - levels).max() <= 0.51
    assert np.abs(drawn[..., 3] - 255 * np.sqrt(drawn[..., 0] / 255)).max() <= 0.51
    assert len(np.unique(drawn[..., 0])) > 60


def test_a_moved_object_is_where_the_region_says(scene):
    variant = adjusted(VARIANTS["on_own_tiled"], Adjustment(dx=0.25))
    before, after = object_region(VARIANTS["on_own_tiled"], scene), object_region(variant, scene)
    assert torch.equal(after[..., 16:], before[..., :-16])
    assert not after[..., :16].any()


def test_no_object_has_no_region(scene):
    assert not object_region(VARIANTS["only_bg_t"], scene).any()


def test_an_adjusted_variant_keeps_the_draws_of_its_original(scene):
    textured = VARIANTS["on_texture_mask"]
    half = adjusted(textured, Adjustment(brightness=0.5))
    plain = textured.background.plate(scene, None, Draw(0, textured.name))
    dimmed = half.background.plate(scene, None, Draw(0, half.drawn_as))
    assert (dimmed.float() - plain.float() / 2).abs().max() <= 0.5
