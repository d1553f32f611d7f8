"""Image processors of transformers in terms of bglab's evaluation transform, compared with what they compute."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bglab.errors import BadInput
from bglab.images import CropMode, EvaluationTransform, Interpolation, crop_pct

#: Pillow's resampling filters by the number that a processor's ``resample`` has.
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
#: Largest difference of normalised values that rounding of numbers explains.
_ROUNDING = 1e-3
#: Largest difference in levels of a resized photograph that is not worth a note.
_LEVELS = 1.0
#: Largest side of its images in pixels.
_LARGEST = 4096


class ProcessorSettings(NamedTuple):
    """What an image processor does, in the terms of `bglab.models.Weights`.

    Attributes:
        mean: Mean per channel, for images in [0, 1].
        std: Standard deviation per channel, for images in [0, 1].
        input_size: Side of its images in pixels.
        crop_pct: Fraction of the resized image's short side that its crop keeps, in (0, 1].
        interpolation: Resampling filter of its resize.
        crop_mode: Crop mode, as in timm.
        flips_channels: Whether its network takes blue first and red last.
        notes: What was read, and what cannot be expressed, one sentence each.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int
    crop_pct: float
    interpolation: Interpolation
    crop_mode: CropMode
    flips_channels: bool
    notes: tuple[str, ...]

    @property
    def transform(self) -> EvaluationTransform:
        """Evaluation transform, without normalisation."""
        return EvaluationTransform(self.input_size, self.crop_pct, self.interpolation, self.crop_mode, self.mean)


class _Geometry(NamedTuple):
    """Resize and crop: the short side (or both sides) to ``resized`` pixels, of which ``size`` are kept."""

    size: int
    resized: int
    crop_mode: CropMode = "center"
    note: str = ""


def read_processor(processor: Any, config: Any = None) -> ProcessorSettings:
    """Read mean, standard deviation, size, crop and filter off an image processor of transformers.

    What was read is compared with what the processor computes, on an image of the network's size and on a photograph's
    format; differences become notes.

    Args:
        processor: Image processor, such as ``AutoImageProcessor.from_pretrained`` returns.
        config: Configuration of its network, whose ``image_size`` stands in where the processor resizes nothing.

    Raises:
        BadInput: If it is no image processor, has settings that cannot be used, or makes something other than square
            RGB images.
    """
    kind = type(processor).__name__
    if not hasattr(processor, "image_mean") and not hasattr(processor, "data_config"):
        raise BadInput(
            f"expected an image processor of transformers, got {kind}; load it with AutoImageProcessor.from_pretrained"
        )
    data_config = getattr(processor, "data_config", None)
    try:
        settings = _of_timm(data_config) if data_config else _of_attributes(processor, config)
        _check(settings)
    except BadInput:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as problem:  # of values of any type
        raise BadInput(
            f"expected mean, standard deviation and sizes in the settings of {kind}, but {problem!r:.200}; save it "
            "again with processor.save_pretrained(folder), or name another with ?processor=NAME_OR_FOLDER"
        ) from None
    read = (
        f"preprocessing is that of its {kind}: {settings.input_size} pixels, {settings.interpolation}, crop "
        f"{settings.crop_pct:.4g}, {settings.crop_mode}"
    )
    settings = settings._replace(notes=(read, *settings.notes))
    return _compared(settings, processor)


def _check(settings: ProcessorSettings) -> None:
    """Check that every number can be computed with.

    Raises:
        ValueError: If one cannot.
    """
    numbers = (*settings.mean, *settings.std, settings.crop_pct)
    if len(settings.mean) != 3 or len(settings.std) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"mean {settings.mean} and standard deviation {settings.std} are not three numbers each")
    if min(settings.std) <= 0:
        raise ValueError(f"a standard deviation of {min(settings.std):g} cannot be divided by")
    if not 1 <= settings.input_size <= _LARGEST or not 0 < settings.crop_pct <= 1:
        raise ValueError(f"{settings.input_size} pixels of {settings.crop_pct:.3g} cannot be cropped")


def _of_timm(config: Mapping[str, Any]) -> ProcessorSettings:
    """Read the processor of a network of timm, which holds timm's own configuration."""
    filter_name, notes = _expressible(str(config["interpolation"]))
    return ProcessorSettings(
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        input_size=_square(config["input_size"][-2], config["input_size"][-1]),
        crop_pct=float(config["crop_pct"]),
        interpolation=filter_name,
        crop_mode=config["crop_mode"],
        flips_channels=False,
        notes=notes,
    )


def _of_attributes(processor: Any, config: Any) -> ProcessorSettings:
    """Read a processor of transformers' own by its attributes."""
    mean, std = _normalisation(processor)
    geometry = _geometry(processor, config)
    filter_name, notes = _filter(processor)
    if geometry.note:
        notes = (*notes, geometry.note)
    size, resized = geometry.size, max(geometry.size, geometry.resized)
    flips = bool(getattr(processor, "do_flip_channel_order", False))
    fraction = 1.0 if size == resized else crop_pct(size, resized)
    return ProcessorSettings(mean, std, size, fraction, filter_name, geometry.crop_mode, flips, notes)


def _filter(processor: Any) -> tuple[Interpolation, tuple[str, ...]]:
    """Read the resampling filter, a number of Pillow's or an enumeration of torchvision's."""
    resample = getattr(processor, "resample", None)
    if resample is None:
        return "bilinear", ()
    name = getattr(resample, "value", resample)
    return _expressible(_FILTERS[name] if isinstance(name, int) and 0 <= name < len(_FILTERS) else str(name))


def _expressible(name: str) -> tuple[Interpolation, tuple[str, ...]]:
    if name == "bilinear":
        return "bilinear", ()
    if name == "bicubic":
        return "bicubic", ()
    return "bicubic", (f"its processor resizes by the filter {name}, for which bicubic stands in",)


def _normalisation(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Express rescaling and normalisation as one mean and standard deviation of images in [0, 1]."""
    factor = float(processor.rescale_factor) if getattr(processor, "do_rescale", True) else 1.0
    mean, std = (0.0,) * 3, (1.0,) * 3
    if getattr(processor, "do_normalize", True):
        mean, std = _three(processor.image_mean, processor), _three(processor.image_std, processor)
    again = std
    if not hasattr(processor, "include_top") or not processor.include_top:
        again = (1.0,) * 3
    elif not getattr(processor, "do_normalize", True):
        again = _three(processor.image_std, processor)
    # EfficientNet's may shift by one before it normalises, and divides by the standard deviation twice
    offset = 1.0 if getattr(processor, "rescale_offset", False) and getattr(processor, "do_rescale", True) else 0.0
    scale = 255 * factor
    if abs(scale - 1) < 1e-6:
        scale = 1.0  # so that the numbers stay those of the file
    return (
        tuple((value + offset) / scale for value in mean),
        tuple(value * second / scale for value, second in zip(std, again, strict=True)),
    )


def _three(values: Any, processor: Any) -> tuple[float, ...]:
    """Return one number per channel."""
    numbers = [float(value) for value in (values if isinstance(values, (list, tuple)) else [values])]
    if len(numbers) not in {1, 3}:
        raise BadInput(
            f"expected a mean and a standard deviation per channel of RGB images from {type(processor).__name__}, got "
            f"{len(numbers)} numbers; choose a classifier of RGB images"
        )
    return tuple(numbers * (3 // len(numbers)))


def _sides(size: Any) -> dict[str, int]:
    """Return what a size names: ``height`` and ``width``, ``shortest_edge``, …; a number stands for a square."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    if isinstance(size, (tuple, list)):
        return {"height": int(size[0]), "width": int(size[-1])}
    try:
        named = dict(size or {})
    except (TypeError, ValueError):
        named = {}
    return {name: int(value) for name, value in named.items() if value}


def _square(height: int, width: int) -> int:
    if height != width:
        raise BadInput(
            f"expected a network of square images, got one of {width} × {height} pixels; choose another classifier"
        )
    return int(height)


def _crop(processor: Any) -> int | None:
    """Return the side of the centre crop, or None if nothing is cropped."""
    if not getattr(processor, "do_center_crop", False):
        return None
    sides = _sides(getattr(processor, "crop_size", None))
    if "height" in sides:
        return _square(sides["height"], sides["width"])
    return sides.get("shortest_edge")


def _geometry(processor: Any, config: Any) -> _Geometry:
    """Express resize and crop; what is approximate is found by comparing, and noted there."""
    kind, crop = type(processor).__name__, _crop(processor)
    if not getattr(processor, "do_resize", True):
        side = crop or _image_size(config)
        return _Geometry(side, side, note="its processor resizes nothing; at full resolution bglab does, as for others")
    sides = _sides(processor.size)
    if "height" in sides:
        side = _square(sides["height"], sides["width"])
        if kind.startswith("Perceiver") and crop:
            return _Geometry(side, crop)  # it crops the same part before it resizes
        return _Geometry(min(crop or side, side), side, "squash")
    side = sides.get("shortest_edge") or sides.get("longest_edge")
    if side is None:
        raise BadInput(
            f"expected a size of {kind} as height and width or shortest_edge, got {processor.size!r}; "
            "choose a classifier of square images"
        )
    return _of_short_side(processor, kind, side, crop)


def _of_short_side(processor: Any, kind: str, side: int, crop: int | None) -> _Geometry:
    """Express a resize of the short side, which some processors enlarge before they crop."""
    fraction = getattr(processor, "crop_pct", None)
    if kind.startswith("ConvNext"):
        return _Geometry(side, int(side / (fraction or 224 / 256))) if side < 384 else _Geometry(side, side, "squash")
    if kind.startswith("PoolFormer") and fraction:
        side = int(side / fraction)
    if kind.startswith("Levit"):
        side = int(256 / 224 * side)
    if crop is None:
        return _Geometry(side, side, note="its processor crops nothing; bglab crops the centre")
    return _Geometry(min(crop, side), side)


def _image_size(config: Any) -> int:
    size = getattr(config, "image_size", None)
    if isinstance(size, (tuple, list)):
        return _square(int(size[0]), int(size[-1]))
    return int(size) if size else 224


def _compared(settings: ProcessorSettings, processor: Any) -> ProcessorSettings:
    """Compare settings with what the processor computes, and note the differences."""
    size, kind = settings.input_size, type(processor).__name__
    plain = Image.new("RGB", (size, size), (50, 120, 200))
    centre = _processed(processor, plain)[:, size // 2 : size // 2 + 1, size // 2 : size // 2 + 1]
    levels = np.array((50, 120, 200), np.float64)[::-1] if settings.flips_channels else np.array((50, 120, 200))
    mean, std = np.array(settings.mean), np.array(settings.std)
    if settings.flips_channels:
        mean, std = mean[::-1], std[::-1]
    if centre.size != 3 or np.abs(centre.ravel() - (levels / 255 - mean) / std).max() > _ROUNDING:
        raise BadInput(
            f"expected a processor that resizes, crops and normalises, but {kind} turns RGB (50, 120, 200) into "
            f"{np.round(centre.ravel()[:3], 3).tolist()}, which its settings do not explain; choose another classifier"
        )
    return settings._replace(notes=(*settings.notes, *_differences(settings, processor)))


def _differences(settings: ProcessorSettings, processor: Any) -> list[str]:
    """Return notes on how far the transform's results are from the processor's."""
    kind, notes = type(processor).__name__, []
    square, photograph, odd = _trial_images(settings.input_size, settings.transform.resized)
    rounded = False
    for image, what in ((square, "an image of its own size"), (photograph, "a photograph")):
        apart = _apart(settings, processor, image)
        if isinstance(apart, str):
            notes.append(f"of {what} its {kind} makes one of {apart} pixels, which bglab cannot")
        elif apart.max() > _LEVELS + _ROUNDING:
            by = f"levels by {apart.mean():.2g} on average, {apart.max():.0f} at most"
            notes.append(f"what its {kind} makes of {what} differs from what bglab does: {by}")
        else:
            rounded = rounded or bool(apart.max() > _ROUNDING)
    if rounded:
        notes.append(f"Pillow resizes; the levels that its {kind} computes differ by at most 1")
    if not notes or (rounded and len(notes) == 1):
        apart = _apart(settings, processor, odd)
        if isinstance(apart, str) or apart.max() > _LEVELS + _ROUNDING:
            notes.append(
                f"where a crop leaves an odd number of pixels, it is up to one pixel beside that of its {kind}"
            )
    return notes


def _apart(settings: ProcessorSettings, processor: Any, image: Image.Image) -> np.ndarray | str:
    """Return the differences between transform and processor in levels, or the processor's size if it is another."""
    theirs = _processed(processor, image)
    ours = settings.transform(image).astype(np.float64)
    if theirs.shape != ours.shape:
        return f"{theirs.shape[-1]} × {theirs.shape[-2]}"
    if settings.flips_channels:
        theirs = theirs[::-1]
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (settings.mean, settings.std))
    return np.abs((theirs * std + mean) * 255 - ours)


def _processed(processor: Any, image: Image.Image) -> np.ndarray:
    """Return what a processor makes of an image, ``3 h w``."""
    try:
        values = processor(images=image, return_tensors="pt")["pixel_values"]
        array = np.asarray(values, dtype=np.float64)[0]
    except Exception as problem:  # noqa: BLE001 - every processor raises its own type
        reason = str(problem).splitlines()[0][:160] if str(problem) else type(problem).__name__
        raise BadInput(
            f"expected an image processor that returns pixel_values, but {type(processor).__name__} failed on an image "
            f"({reason}); choose another classifier"
        ) from None
    if array.ndim != 3 or array.shape[0] != 3:
        raise BadInput(
            f"expected images of three channels from {type(processor).__name__}, got the shape {array.shape}; "
            "choose a classifier of RGB images"
        )
    return array


@functools.lru_cache(maxsize=4)
def _trial_images(size: int, resized: int) -> tuple[Image.Image, ...]:
    """Draw a square, a photograph twice as large, and one that needs no resize, with an odd margin beside its crop."""
    generator = np.random.default_rng(0)
    wide = size + 4 * (resized // 8 + 8)
    drawn = []
    for width, height in ((size, size), (2 * wide, 2 * resized), (wide + 3, resized)):
        coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height))
        fine = generator.normal(0, 12, (height, width, 3))
        drawn.append(Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8)))
    return tuple(drawn)
