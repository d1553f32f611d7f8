"""The image files of a folder of images, found by names as people write them, and notices of what is passed over."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bglab.images import HEIF_SUFFIXES, IMAGE_SUFFIXES, SEVERAL_FRAMES, has_heif, is_animated
from bglab.scenes.sources._tables import check_file

_LISTED = 5


def normal(name: str) -> str:
    """Return a name in Unicode's composed form; macOS writes the letters and accents of file names separately."""
    return unicodedata.normalize("NFC", name)


def scene_name(folder: Path, file: Path) -> str:
    """Name a scene by its path relative to its folder, so that two classes may have files of the same name."""
    return normal(file.relative_to(folder).with_suffix("").as_posix())


class ImageFiles:
    """The files below a folder: first its own, then those of its subfolders, each by name.

    Attributes:
        folder: The folder.
        images: Files with the extension of an image.
        others: All other files, without hidden ones.

    Args:
        folder: A folder; one that does not exist has no files.
        suffixes: Extensions that count as images, in lower case.
        apart: Names in the folder itself that are left out.
    """

    def __init__(
        self, folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES, apart: Callable[[str], bool] | None = None
    ) -> None:
        self.folder = folder
        self.images: list[Path] = []
        self.others: list[Path] = []
        self._apart = apart or (lambda _: False)
        for file in _walk(folder, self._apart):
            (self.images if file.suffix.lower() in suffixes else self.others).append(file)
        self._by_name: dict[str, Path] = {}
        for file in reversed(self.images):
            self._by_name[_key(file.relative_to(folder))] = file
        self._exact = set(self.images)

    def __contains__(self, file: Path) -> bool:
        return file in self._exact

    def covers(self, name: str) -> bool:
        """Return whether the files below a folder of this name are among these."""
        return not self._apart(name)

    def find(self, name: str, where: str) -> Path:
        """Find the file that a table names.

        Unicode's two forms of a letter, backslashes and the case of the extension do not matter.

        Args:
            name: Path relative to the folder.
            where: Where the name stands, for messages.

        Returns:
            The path; the one that was written if there is no such file.

        Raises:
            BadInput: If it leads out of the folder.
        """
        written = self.folder / name
        if written in self._exact and ".." not in written.parts:
            return written
        path = check_file(name, where)
        return self._by_name.get(_key(path), self.folder / path)

    def passed_over(self, what: str) -> list[str]:
        """Write a notice of the files that are no images, if there are any.

        Args:
            what: What was expected of them, e.g. ``images``.
        """
        if not self.others:
            return []
        kinds = Counter(file.suffix.lower() or "no extension" for file in self.others)
        counts = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(_LISTED))
        names = listed([file.relative_to(self.folder).as_posix() for file in self.others])
        needs = not has_heif() and any(file.suffix.lower() in HEIF_SUFFIXES for file in self.others)
        remedy = "; pip install pillow-heif reads HEIC" if needs else ""
        number = counted(len(self.others), "file")
        return [f"passed over {number} in {self.folder} that are no {what}: {names} ({counts}){remedy}"]

    def animated(self) -> list[str]:
        """Write a notice of images with several frames, if there are any."""
        several = [file for file in self.images if file.suffix.lower() in SEVERAL_FRAMES and is_animated(file)]
        if not several:
            return []
        names = listed([file.relative_to(self.folder).as_posix() for file in several])
        return [f"only the first frame is used of {counted(len(several), 'image')} in {self.folder}: {names}"]


def counted(number: int, thing: str) -> str:
    """Write a number of things, in the plural unless it is one.

    Example:
        >>> counted(1, "file"), counted(2, "file")
        ('1 file', '2 files')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def listed(names: Sequence[str], at_most: int = _LISTED) -> str:
    """List a few names for a notice.

    Example:
        >>> listed(["a", "b", "c"], at_most=2)
        'a, b, …'
    """
    return ", ".join([*names[:at_most], *(["…"] if len(names) > at_most else [])])


def by_scene(files: ImageFiles) -> dict[str, list[Path]]:
    """Group files by the names of their scenes."""
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files.images:
        groups[scene_name(files.folder, file)].append(file)
    return dict(groups)


def _key(path: Path) -> str:
    return normal(path.with_suffix(path.suffix.lower()).as_posix()) if path.name else ""


def _walk(root: Path, apart: Callable[[str], bool]) -> list[Path]:
    """List the files below a folder without hidden ones; links to folders are followed, but not in circles."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(root, followlinks=True, onerror=_raise) if root.is_dir() else ():
        here = os.stat(place)  # noqa: PTH116 - walk gives strings
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        is_root = Path(place) == root
        kept = [name for name in folders if not name.startswith(".") and not (is_root and apart(name))]
        folders[:] = sorted(kept)
        found += [
            Path(place, name) for name in sorted(names) if not name.startswith(".") and not (is_root and apart(name))
        ]
    return found


def _raise(problem: OSError) -> None:
    """Let no folder be left out because it cannot be listed."""
    raise problem
