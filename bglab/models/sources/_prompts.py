"""Prompts for zero-shot classification: what is written for each class, as templates or sentence by sentence."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bglab.catalogue import nearest
from bglab.errors import BadInput, MissingData
from bglab.labels import IN9, IN9_NAMES, imagenet_names, imagenet_synsets
from bglab.models.weights import json_digest

#: What the nine classes of ImageNet-9 are called in prompts: the folder names of its release.
IN9_PROMPT_NAMES = (
    "dog",
    "bird",
    "wheeled vehicle",
    "reptile",
    "carnivore",
    "insect",
    "musical instrument",
    "primate",
    "fish",
)

_SPACES = ("imagenet", "in9")
_FORMS = (
    'templates with {} for the class, one a line ("a photo of a {}."), or lines of class,prompt; or the same as JSON: '
    '["a photo of a {}."] or {"dog": ["a photo of a dog."]}'
)


class Prompts(NamedTuple):
    """Prompts per class.

    Attributes:
        space: ``imagenet``, ``in9``, or "" for classes of the file's own.
        classes: Names of the file's own classes; () for the other two.
        texts: Prompts of each class, in the order of the label space.
        notes: What was chosen, one sentence each.
    """

    space: str
    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the prompts, 16 hexadecimal digits."""
        return json_digest(self.texts)


def make_prompts(file: str = "", classes: str = "") -> Prompts:
    """Write the prompts of each class.

    Args:
        file: Text, CSV or JSON file with templates or prompts; "" takes open_clip's 80 templates.
        classes: ``imagenet``, ``in9``, or "": the classes that the file names, or ImageNet's if it names none.

    Raises:
        MissingData: If there is no such file.
        BadInput: If the classes are others, the file is neither of its forms, or a class has no prompt.
    """
    if classes not in {"", *_SPACES}:
        raise BadInput(
            f"expected classes=imagenet or classes=in9, got classes={classes}; others come from prompts=FILE"
        )
    if not file:
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        written = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
        return _of_templates(written, classes or "imagenet", "open_clip's")
    path = Path(file).expanduser()
    templates, prompts = _read(path)
    if templates:
        return _of_templates(templates, classes or "imagenet", f"{path.name}'s")
    return _of_prompts(prompts, classes, path)


def _of_templates(templates: Sequence[str], space: str, whose: str) -> Prompts:
    """Fill templates with the names of each class."""
    names: Sequence[str] = IN9_PROMPT_NAMES
    if space == "imagenet":
        from open_clip import IMAGENET_CLASSNAMES

        names = IMAGENET_CLASSNAMES
    texts = tuple(tuple(template.replace("{}", name) for template in templates) for name in names)
    which = "ImageNet's 1000 classes" if space == "imagenet" else "the nine classes"
    return Prompts(space, (), texts, (f"zero-shot: {whose} {len(templates)} templates for {which}",))


def _of_prompts(prompts: Mapping[str, list[str]], space: str, path: Path) -> Prompts:
    """Assign prompts to the classes they name."""
    known = {name: _aliases(name) for name in _SPACES}
    if not space:
        space = next((name for name in _SPACES if _named(prompts, known[name]) == len(set(known[name].values()))), "")
    note = f"zero-shot: {sum(map(len, prompts.values()))} prompts for {len(prompts)} classes of {path.name}"
    if not space:
        if len(prompts) < 2:
            raise BadInput(f"expected prompts for at least two classes in {path}, got {len(prompts)}; add classes")
        return Prompts("", tuple(prompts), tuple(map(tuple, prompts.values())), (note,))
    aliases = known[space]
    texts: dict[int, list[str]] = {}
    for name, written in prompts.items():
        label = aliases.get(name.casefold())
        if label is None:
            near = nearest(name.casefold(), list(aliases))
            hint = f"; did you mean '{near}'?" if near else ""
            raise BadInput(f"expected a class of {space} in {path}, got '{name}'{hint}")
        texts.setdefault(label, []).extend(written)
    shown = IN9_NAMES if space == "in9" else imagenet_names()
    absent = [shown[label] for label in range(len(shown)) if label not in texts]
    if absent:
        raise BadInput(
            f"expected prompts for all {len(shown)} classes of {space} in {path}, but {len(absent)} have none "
            f"({', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}); add them, or write templates with {{}}"
        )
    return Prompts(space, (), tuple(tuple(texts[label]) for label in range(len(shown))), (note,))


def _aliases(space: str) -> dict[str, int]:
    """Map what a class may be called to its label; ImageNet's names that two classes share are left to WordNet ids."""
    if space == "in9":
        return {
            alias.casefold(): label
            for label, coarse in enumerate(IN9)
            for alias in (coarse.name, coarse.folder, coarse.folder[3:], coarse.wordnet_id)
        }
    names = [name.casefold() for name in imagenet_names()]
    aliases = {name: label for label, name in enumerate(names) if names.count(name) == 1}
    return aliases | {synset: label for label, synset in enumerate(imagenet_synsets())}


def _named(prompts: Mapping[str, Any], aliases: Mapping[str, int]) -> int:
    """Count the labels that the prompts name; 0 if they name anything else."""
    labels = [aliases.get(name.casefold(), -1) for name in prompts]
    return 0 if -1 in labels else len(set(labels))


def _read(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read a file of templates or prompts: the one or the other is empty."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"expected prompts in {path}, but it is no text in UTF-8; write {_FORMS}") from None
    except OSError as problem:
        raise MissingData(
            f"expected a file of prompts at {path}, but it cannot be read: {problem.strerror or problem}; "
            "give prompts=FILE"
        ) from None
    templates, prompts = _of_json(content, path) if path.suffix.lower() == ".json" else _of_lines(content, path)
    if templates and prompts:
        raise BadInput(f"expected either templates or prompts in {path}, got both; write {_FORMS}")
    if not templates and not prompts:
        raise BadInput(f"expected prompts in {path}, but it has none; write {_FORMS}")
    return templates, prompts


def _of_lines(content: str, path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read templates, or pairs of class and prompt, line by line; a header and lines after # are left out."""
    templates: list[str] = []
    prompts: dict[str, list[str]] = {}
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for number, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        fields = [field.strip() for field in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
        lowered = [field.casefold() for field in fields]
        if lowered in (["class", "prompt"], ["template"], ["prompt"], ["templates"]):
            continue
        if "{}" in text:
            templates.append(fields[0] if len(fields) == 1 else text)
        elif len(fields) >= 2 and fields[0] and fields[1]:
            # a prompt may have commas of its own, without quotes around it
            prompts.setdefault(fields[0], []).append(delimiter.join([fields[1], *(f" {f}" for f in fields[2:])]))
        else:
            raise BadInput(
                f"expected a template or class,prompt in line {number} of {path}, got '{text[:60]}'; write {_FORMS}"
            )
    return templates, prompts


def _of_json(content: str, path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read a list of templates, or the prompts of each class."""
    try:
        parsed = json.loads(content)
    except ValueError as problem:
        raise BadInput(f"expected JSON in {path}, but {problem}; write {_FORMS}") from None
    if isinstance(parsed, list) and parsed and all(isinstance(each, str) and "{}" in each for each in parsed):
        return parsed, {}
    if isinstance(parsed, dict):
        prompts = {str(name): [each] if isinstance(each, str) else each for name, each in parsed.items()}
        if all(isinstance(each, list) and each and all(isinstance(t, str) for t in each) for each in prompts.values()):
            return [], prompts
    raise BadInput(
        f"expected templates or prompts in {path}, got {type(parsed).__name__} of another form; write {_FORMS}"
    )
