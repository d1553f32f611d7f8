"""Compositing, tiling and blurring, by hand and by property."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bglab.errors import BadInput
from bglab.images import compositing


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000))
def test_a_mask_selects_pixels_untouched(seed):
    front, back, mask = noise(seed, 2, 3, 5, 7), noise(seed + 1, 2, 3, 5, 7), noise(seed + 2, 2, 5, 7) > 127
    mixed = compositing.composite(front, back, mask)
    for channel in range(3):
        assert torch.equal(mixed[:, channel][mask], front[:, channel][mask])
        assert torch.equal(mixed[:, channel][~mask], back[:, channel][~mask])


@given(st.integers(0, 1000))
def test_a_matte_of_zeros_and_ones_equals_the_mask(seed):
    front, back, mask = noise(seed, 3, 5, 7), noise(seed + 1, 3, 5, 7), noise(seed + 2, 5, 7) > 127
    assert torch.equal(compositing.composite(front, back, mask.float()), compositing.composite(front, back, mask))


def test_a_matte_mixes_to_the_nearest_level():
    front = torch.full((3, 1, 3), 200, dtype=torch.uint8)
    back = torch.full((3, 1, 3), 101, dtype=torch.uint8)
    mixed = compositing.composite(front, back, torch.tensor([[0.0, 0.5, 1.0]]))
    assert mixed[0].tolist() == [[101, 150, 200]]  # 150.5 goes to the even neighbour
    assert mixed.dtype == torch.uint8


def test_one_foreground_meets_many_backgrounds():
    front, backs, mask = noise(0, 3, 4, 4), noise(1, 6, 3, 4, 4), noise(2, 4, 4) > 127
    together = compositing.composite(front, backs, mask)
    assert together.shape == (6, 3, 4, 4)
    for i in range(6):
        assert torch.equal(together[i], compositing.composite(front, backs[i], mask))


def test_a_foreground_grid_meets_a_background_grid():
    fronts, backs, masks = noise(0, 4, 1, 3, 2, 2), noise(1, 1, 5, 3, 2, 2), noise(2, 4, 1, 2, 2) > 127
    grid = compositing.composite(fronts, backs, masks)
    assert grid.shape == (4, 5, 3, 2, 2)
    assert torch.equal(grid[3, 2], compositing.composite(fronts[3, 0], backs[0, 2], masks[3, 0]))


def test_fill_box_paints_the_half_open_box():
    image = torch.full((3, 4, 5), 9, dtype=torch.uint8)
    filled = compositing.fill_box(image, torch.tensor([1, 2, 4, 4]), (255, 0, 7))
    assert filled[0].tolist() == [[9] * 5, [9] * 5, [9, 255, 255, 255, 9], [9, 255, 255, 255, 9]]
    assert filled[:, 2, 1].tolist() == [255, 0, 7]


# the strip rule of the authors' generator: direction by area (tie: horizontal), side by width (tie: right, bottom)
@pytest.mark.parametrize(
    ("box", "strip"),
    [
        ((6, 4, 9, 6), (0, 0, 6, 10)),  # left is the widest
        ((1, 4, 4, 6), (4, 0, 10, 10)),  # right is the widest
        ((4, 6, 6, 9), (0, 0, 10, 6)),  # top is the widest
        ((4, 1, 6, 4), (0, 4, 10, 10)),  # bottom is the widest
        ((3, 3, 7, 7), (0, 7, 10, 10)),  # all equal: horizontal, then bottom
        ((3, 0, 7, 10), (7, 0, 10, 10)),  # left and right equal: right
        ((2, 3, 8, 7), (0, 7, 10, 10)),  # top and bottom equal and larger: bottom
    ],
)
def test_the_strip_follows_the_generator(box, strip):
    assert compositing.background_strip(box, 10, 10) == strip


def test_the_direction_goes_by_area_not_by_width():
    # 10 high, 40 wide: 5 columns at the left are 50 pixels, 3 rows below are 120
    assert compositing.background_strip((5, 0, 40, 7), 10, 40) == (0, 7, 40, 10)


@given(st.integers(0, 10_000))
def test_tiling_touches_the_box_only_and_uses_background_colours(seed):
    image = noise(seed, 3, 12, 17)
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 18, (2,), generator=rng).sort().values.tolist()
    y = torch.randint(0, 13, (2,), generator=rng).sort().values.tolist()
    if x[0] == x[1] or y[0] == y[1] or (x == [0, 17] and y == [0, 12]):
        return
    box = (x[0], y[0], x[1], y[1])
    tiled = compositing.tile_box(image, box)
    inside = compositing.box_mask(torch.tensor(box), 12, 17)
    assert torch.equal(tiled[:, ~inside], image[:, ~inside])
    background = {tuple(c) for c in image[:, ~inside].T.tolist()}
    assert {tuple(c) for c in tiled[:, inside].T.tolist()} <= background


def test_no_background_to_tile_is_an_error():
    with pytest.raises(BadInput) as error:
        compositing.tile_box(noise(0, 3, 4, 4), (0, 0, 4, 4))
    assert str(error.value) == ("expected some background around the box to tile, but the box covers the whole image")


def test_blur_keeps_the_mean_and_lowers_contrast():
    image = noise(0, 3, 32, 32)
    blurred = compositing.blur(image, 3)
    assert abs(blurred.float().mean() - image.float().mean()) < 1
    assert blurred.float().std() < 0.3 * image.float().std()
    assert compositing.blur(image, 0) is image


def test_soften_is_a_ramp_between_zero_and_one():
    mask = torch.zeros(1, 21, 21, dtype=torch.bool)
    mask[:, :, 10:] = True
    alpha = compositing.soften(mask, 2.0)
    row = alpha[0, 10]
    assert torch.all(row.diff() >= 0)
    assert row[0] < 0.01
    assert row[-1] > 0.99
    assert torch.equal(compositing.soften(mask, 0.0), mask.float())


def test_noise_is_clipped_to_levels():
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(3, 1, 1)
    noisy = compositing.add_noise(image, torch.tensor([-50.0, 1.4, 50.0]).view(3, 1, 1))
    assert noisy.flatten().tolist() == [0, 129, 255]


@pytest.mark.parametrize("shape", [(3, 7, 9), (2, 5, 1, 40, 33), (4, 3, 96, 96), (0, 3, 8, 8)])
@pytest.mark.parametrize("sigma", [0.2, 1.5, 8.0, 40.0])
def test_blur_is_torchvisions_to_the_bit(shape, sigma):
    from torchvision.transforms.v2.functional import gaussian_blur

    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float()
    reach = 2 * min(round(3 * sigma), min(shape[-2:]) - 1) + 1
    rows = gaussian_blur(images, kernel_size=[reach, 1], sigma=[sigma, sigma])
    expected = gaussian_blur(rows, kernel_size=[1, reach], sigma=[sigma, sigma])
    assert torch.equal(compositing.blur(images, sigma), expected)
    assert torch.equal(compositing.blur(images.byte(), sigma), expected.round().byte())
