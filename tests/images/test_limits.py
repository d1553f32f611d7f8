"""Images, masks and annotations that declare more than a machine can hold, and paths that are no regular files."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput
from bglab.images import is_animated, open_image, open_reduced, read_cutout, read_mask, resize_crop
from bglab.images.limits import MOST_PIXELS, MOST_RATIO, check_size
from bglab.images.panoramas import can_read_panoramas, read_panorama
from bglab.widgets.uploads import UploadedImages

#: Readers of images and masks, each of which must refuse by itself.
READERS = (open_image, lambda path: open_reduced(path, 64), read_cutout, read_mask)


def png(width: int, height: int, mode: str = "L") -> bytes:
    """Encode a PNG of any declared size whose pixels are missing."""
    depth, colour = {"L": (8, 0), "1": (1, 0), "RGBA": (8, 6)}[mode]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    )


#: Reads files as ``NAME=PATH`` with 2 GB of memory beyond what the libraries take; writes one line of JSON for each.
_PROGRAM = """
import json, resource, sys
from pathlib import Path
import scipy.io
from bglab.errors import BadInput
from bglab.images import open_image, read_mask, resize_crop
from bglab.scenes.sources._matlab import read_variables
readers = {
    "image": lambda path: resize_crop(open_image(path), 224), "mask": read_mask,
    "variables": lambda path: read_variables(path, ["box_coord"]),
}
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (2 << 30),) * 2)
for name, path in (argument.split("=") for argument in sys.argv[1:]):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        readers[name](Path(path))
        said = "read"
    except BadInput as problem:
        said = str(problem)
    print(json.dumps([said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024]))
"""


def npy(shape: tuple[int, ...], kind: str) -> bytes:
    """Write the header of an array whose content is missing."""
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def mat(kind: int, content: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", kind, len(content)) + content


#: Content of small files, and what is said of them; in an order in which the peak of memory only grows.
_CELLS = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 2**14, 2**14) + struct.pack("<II", 1, 0)
SMALL = {
    "mask=long.png": (png(8, 8)[:33] + struct.pack(">I", 2**32 - 16) + b"IDAT" + b"\0" * 64, "is cut off"),
    "image=thin.png": (png(1, 10_000), "sides of up to 100 : 1"),
    "mask=square.npy": (npy((200_000, 200_000), "|b1"), "at most 134 megapixels"),
    "mask=flat.npy": (npy((2**40,), "<f8"), "at most 134 megapixels"),
    "mask=short.npy": (npy((9000, 9000), "<f8"), "its 0 bytes are no 81000000 numbers"),
    "mask=text.npy": (npy((10, 10), "<U90000000"), "are no 100 numbers"),
    "mask=runs.json": (b'{"size": [1048576, 1048576], "counts": [1099511627776]}', "at most 134 megapixels"),
    "variables=cells.mat": (mat(14, _CELLS), "shape (16384, 16384) has 0 parts"),
    "variables=bomb.mat": (mat(15, zlib.compress(b"\0" * 2**28)), "is larger than 134 MB"),
}


def test_small_files_never_take_gigabytes(tmp_path):
    for name, (content, _) in SMALL.items():
        save(tmp_path / name.partition("=")[2], content)
    Image.new("RGBA", (4000, 4000)).save(tmp_path / "clear.png")
    mask = Image.new("RGB", (4000, 4000))
    mask.paste((255, 0, 0), (50, 50, 3000, 3000))
    mask.save(tmp_path / "mask.png")
    read = [*SMALL, "image=clear.png", "mask=mask.png"]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, *read],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = dict(zip(read, map(json.loads, ran.stdout.splitlines()), strict=True))
    for name, (_, said) in SMALL.items():
        assert said in found[name][0], name
        assert found[name][1] < 300, name
    # 16 million pixels of three bytes, a few times
    assert found["image=clear.png"][0] == found["mask=mask.png"][0] == "read"
    assert max(used for _, used in found.values()) < 400


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [(1, MOST_RATIO + 1), (40 * MOST_RATIO + 40, 40), (12_000, 12_000), (2**31 - 1, 1)])
def test_sizes_beyond_the_limits_are_refused_by_name(read, size, tmp_path):
    path = save(tmp_path / "declared.png", png(*size))
    with pytest.raises(BadInput, match=r"declared\.png"):
        read(path)


def test_the_limits_are_generous_to_photographs():
    check_size(11_656, 8_742, "of a medium-format camera")
    check_size(1, MOST_RATIO, "a strip")
    with pytest.raises(BadInput, match="at most 134 megapixels in x.png, got 13422 × 10000"):
        check_size(13_422, 10_000, "x.png")


@pytest.mark.parametrize("size", [(MOST_RATIO, 1), (1, MOST_RATIO)])
def test_the_thinnest_images_that_pass_can_be_resized_and_uploaded(size, tmp_path):
    Image.new("RGB", size, "red").save(tmp_path / "thin.png")
    image = open_image(tmp_path / "thin.png")
    assert resize_crop(image, 224).size == (224, 224)
    UploadedImages(224).add(tmp_path / "thin.png", "thin")


def test_an_image_that_was_made_thin_in_memory_is_not_enlarged():
    with pytest.raises(BadInput, match=r"sides of up to 100 : 1 .* 1 × 8000"):
        UploadedImages(224).add(Image.new("RGB", (1, 8000)), "thin")
    with pytest.raises(BadInput, match="that is resized"):
        resize_crop(Image.new("RGB", (1, 8000)), 224)


def test_an_array_at_the_limit_is_read(tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(64, dtype=bool))
    assert read_mask(tmp_path / "mask.npy").sum() == 64


@pytest.mark.skipif(not can_read_panoramas(), reason="needs OpenEXR")
def test_a_panorama_of_a_huge_window_is_refused(tmp_path):
    import OpenEXR

    path = tmp_path / "sky.exr"
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, {"RGB": np.zeros((4, 8, 3), np.float32)}).write(str(path))
    assert read_panorama(path).shape == (4, 8, 3)
    window = struct.pack("<4i", 0, 0, 7, 3)
    path.write_bytes(path.read_bytes().replace(window, struct.pack("<4i", 0, 0, 199_999, 99_999)))
    with pytest.raises(BadInput, match=r"at most 34 megapixels in .*sky\.exr"):
        read_panorama(path)


@pytest.fixture(params=["folder", "pipe", "device", "socket"])
def no_file(request, tmp_path):
    """A path with the name of an image that is no regular file."""
    path = tmp_path / "x.png"
    if request.param == "folder":
        path.mkdir()
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))  # its name stays
    return path


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_regular_file_is_refused_at_once(no_file, read):
    with pytest.raises(BadInput, match=r"x\.png, got a (folder|named pipe|device|socket)"):
        read(no_file)
    assert not is_animated(no_file)


def test_an_upload_beyond_the_limits_is_refused():
    with pytest.raises(BadInput, match="at most 134 megapixels in the uploaded image"):
        UploadedImages(224).add(png(MOST_PIXELS // 1000, 1001), "large")
    content = io.BytesIO()
    Image.new("RGB", (2, 2)).save(content, "PNG")
    assert UploadedImages(8).add(content.getvalue(), "small") == "small"
