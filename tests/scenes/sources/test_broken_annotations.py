"""Broken annotations: each is named with its file and left out, what is right of it is used, and the set opens."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from bglab.__main__ import main
from bglab.errors import BadInput
from bglab.images import box_of
from bglab.labels import imagenet_synsets
from bglab.scenes import area_census, open_scenes, prepare
from fixtures.layouts import box_xml, write_imagenet, write_voc

SYNSET = imagenet_synsets()[0]
FIRST, SECOND = "ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002"


@pytest.fixture
def imagenet(tmp_path):
    """Two images of 60 × 40 with two boxes each."""
    return write_imagenet(tmp_path / "imagenet", classes=(0,))


def xml_of(root, name=SECOND):
    return root / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml"


def opened(root):
    return open_scenes(f"imagenet:{root}?masks=box")


def described(*objects, size=(60, 40), head="", prefix=""):
    """Write an annotation by hand: objects are (name, corners), corners as text."""
    p = prefix
    parts = [f"<{p}size><{p}width>{size[0]}</{p}width><{p}height>{size[1]}</{p}height></{p}size>"]
    for name, corners in objects:
        named = "".join(
            f"<{p}{tag}>{value}</{p}{tag}>"
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        parts.append(f"<{p}object><{p}name>{name}</{p}name><{p}bndbox>{named}</{p}bndbox></{p}object>")
    return f"{head}<{p}annotation>{''.join(parts)}</{p}annotation>"


GOOD = (SYNSET, (5, 4, 19, 29))


# --- one object among others


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((40, 10, 20, 24), "expected xmin < xmax, got xmin 40 and xmax 20"),
        ((30, 24, 49, 10), "expected ymin < ymax, got ymin 24 and ymax 10"),
        ((0, 0, 0, 0), "expected xmin < xmax, got xmin 0 and xmax 0"),
        ((-7, 10, 20, 24), "expected a box within 60 × 40 pixels, got (-7, 10, 20, 24)"),
        ((30, 10, 75, 24), "expected a box within 60 × 40 pixels, got (30, 10, 75, 24)"),
        (("nan", 10, 49, 24), "<bndbox><xmin> is 'nan', which is no number of pixels"),
        ((30, 10, "inf", 24), "<bndbox><xmax> is 'inf', which is no number of pixels"),
        ((30, 10, "1e999", 24), "<bndbox><xmax> is '1e999', which is no number of pixels"),
        ((30, 10, "9" * 400, 24), f"<bndbox><xmax> is '{'9' * 40}', which is no number of pixels"),
        ((30, 10, "", 24), "<bndbox><xmax> is '', which is no number of pixels"),
        ((30, 10, "4_9", 24), "<bndbox><xmax> is '4_9', which is no number of pixels"),
        ((30, 10, "49,0", 24), "<bndbox><xmax> is '49,0', which is no number of pixels"),
    ],
)
def test_an_object_with_an_unusable_box_is_left_out_by_name(imagenet, corners, reason):
    xml_of(imagenet).write_text(described(GOOD, (SYNSET, corners)))
    scene = opened(imagenet)[SECOND]
    assert scene.box == box_of(scene.mask) == (5, 4, 20, 30)
    assert scene.mask[4:30, 5:20].all()
    assert scene.notices == (f"object 2 ({SYNSET}) in {xml_of(imagenet)} is left out: {reason}; correct its box",)


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (f"<object><name>{SYNSET}</name></object>", f"object 2 ({SYNSET}) in {{}} is left out: no <bndbox><xmin>"),
        ("<object/>", "object 2 in {} is left out: expected a class name, got none"),
        (
            f"<object><name>{SYNSET}</name><bndbox><xmin>1</xmin></bndbox></object>",
            f"object 2 ({SYNSET}) in {{}} is left out: no <bndbox><ymin>",
        ),
    ],
)
def test_an_incomplete_object_is_left_out_by_name(imagenet, element, reason):
    xml_of(imagenet).write_text(described(GOOD).replace("</annotation>", f"{element}</annotation>"))
    scene = opened(imagenet)[SECOND]
    assert scene.box == (5, 4, 20, 30)
    assert scene.notices == (f"{reason.format(xml_of(imagenet))}; correct its box",)


@pytest.mark.parametrize("change", [("object>", "objects>"), ("</object><object>", "<object>")])
def test_a_box_outside_of_an_object_is_told(imagenet, change):
    text = described(GOOD, (SYNSET, (30, 10, 49, 24)))
    first, rest = text.split("</object>", 1)
    if change[1] == "objects>":
        text = first + "</object>" + rest.replace(*change)  # the second object is none
    else:
        text = first + rest.replace("</object>", "</object></object>")  # the second object is inside the first
    xml_of(imagenet).write_text(text)
    scene = opened(imagenet)[SECOND]
    assert scene.box == (5, 4, 20, 30)
    tag = change[1].strip("<>")
    assert scene.notices == (
        f"<{tag}> in {xml_of(imagenet)} holds a box, but is no <object> of its own, and is left out",
    )


def test_an_image_whose_only_box_is_unusable_is_rejected_with_the_reason(imagenet):
    xml_of(imagenet).write_text(described((SYNSET, (40, 10, 20, 24))))
    prepared = prepare(opened(imagenet), 32, progress=False)
    assert prepared.scenes.ids == [FIRST]
    ((scene, file, reason),) = prepared.rejected
    assert (scene, Path(file).stem) == (SECOND, SECOND)
    assert reason.endswith(
        f"got none that can be used: object 1 ({SYNSET}) in {xml_of(imagenet)} is left out: expected xmin < xmax, got "
        "xmin 40 and xmax 20; correct its box"
    )


@pytest.mark.parametrize(
    "corners", [(-1, -1, 50, 40), (30, 20, 61, 40), ("5.0", " 4 ", "1.9e1", "29.4"), (5, 4, 61, 41)]
)
def test_numbers_that_tools_write_are_read(imagenet, corners):
    xml_of(imagenet).write_text(described((SYNSET, corners)))
    scene = opened(imagenet)[SECOND]
    assert scene.notices == ()
    x0, y0, x1, y1 = (round(float(corner)) for corner in corners)
    assert scene.box == (max(x0, 0), max(y0, 0), min(x1 + 1, 60), min(y1 + 1, 40))


# --- the size of the image


def test_the_size_0_by_0_stands_for_that_of_the_image(imagenet):
    xml_of(imagenet).write_text(described(GOOD, size=(0, 0)))
    scene = opened(imagenet)[SECOND]
    image = imagenet / "val" / SYNSET / f"{SECOND}.JPEG"
    assert scene.box == (5, 4, 20, 30)
    assert scene.notices == (f"{xml_of(imagenet)} gives the size 0 × 0; the 60 × 40 pixels of {image} are used",)
    census = area_census(opened(imagenet))
    assert (census.ids, census.rejected) == ((FIRST, SECOND), ())


@pytest.mark.parametrize("size", [(-60, 40), (0, 40), (60, "nan"), (60, "1e999"), (60, ""), ("sixty", 40)])
def test_a_size_that_is_none_is_named(imagenet, size):
    xml_of(imagenet).write_text(described(GOOD, size=size))
    with pytest.raises(BadInput, match=r"^expected an annotation with a size and boxes in .*00000002\.xml, .*restore"):
        opened(imagenet)[SECOND]


def test_boxes_drawn_on_a_resized_copy_are_refused(imagenet):
    xml_of(imagenet).write_text(described(GOOD, size=(120, 80)))
    with pytest.raises(
        BadInput, match=r"120 × 80 pixels, as .*00000002\.xml says, got 60 × 40; restore the image that"
    ):
        opened(imagenet)[SECOND]


# --- files

BOMB = (
    '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;"><!ENTITY z "&y;&y;&y;&y;&y;&y;&y;&y;">'
    "<!ENTITY w '&z;&z;&z;&z;&z;&z;&z;&z;'>]>"
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (bytes(300), "got only zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "run git lfs pull"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "got a web page"),
        (described(GOOD).encode()[:120], "unclosed token|no element found"),
        (described(GOOD).encode() + b"<more/>", "junk after document element"),
        (b"\xff\xd8\xff\xe0 no xml", "not well-formed"),
        (b"{}", "not well-formed"),
        (b"<annotation/>", "no <size><width>"),
        (b"<svg><rect/></svg>", "no <size><width>"),
        (described(GOOD, head='<?xml version="1.0" encoding="klingon"?>').encode(), "unknown encoding"),
        (described((f"{SYNSET}é", (1, 2, 9, 9))).encode("latin-1"), "not well-formed"),
        (described(("&w;", (1, 2, 9, 9)), head=BOMB).encode(), "it declares the entity x"),
        (
            described(("&f;", (1, 2, 9, 9)), head='<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]>').encode(),
            "it declares the entity f",
        ),
        (described(("&f;", (1, 2, 9, 9))).encode(), "undefined entity"),
    ],
)
def test_a_file_that_is_no_annotation_is_named_and_the_others_are_used(imagenet, content, words, capsys):
    xml_of(imagenet).write_bytes(content)
    scenes = opened(imagenet)
    prepared = prepare(scenes, 32, progress=False)
    assert prepared.scenes.ids == [FIRST]
    (rejection,) = prepared.rejected
    assert rejection.scene == SECOND
    assert str(xml_of(imagenet)) in rejection.reason
    with pytest.raises(BadInput, match=words):
        scenes[SECOND]
    assert main(["data", "check", f"imagenet:{imagenet}?masks=box", "--size", "32"]) == 0
    shown = capsys.readouterr()
    assert "1 usable scenes of 2" in shown.out
    assert str(xml_of(imagenet)) in shown.err


@pytest.mark.parametrize("kind", ["folder", "dangling link", "link to itself"])
def test_something_that_is_no_file_is_named(imagenet, kind):
    xml = xml_of(imagenet)
    xml.unlink()
    if kind == "folder":
        xml.mkdir()
    else:
        xml.symlink_to(xml if kind == "link to itself" else "nowhere.xml")
    scenes = opened(imagenet)
    assert scenes.ids == [FIRST]
    (rejection,) = scenes.rejected
    assert rejection.scene == SECOND
    assert str(xml) in rejection.reason
    assert [record.id for record in scenes.unmasked] == [SECOND]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "windows-1252", "gb2312", "shift_jis"])
def test_any_encoding_that_is_declared_is_read(imagenet, encoding):
    folder = {"latin-1": "Möwe", "windows-1252": "Möwe „1“"}.get(encoding, "中")
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = described(GOOD, head=f'<?xml version="1.0" encoding="{declared}"?>')
    text = text.replace("<size>", f"<folder>{folder}</folder><size>")
    xml_of(imagenet).write_bytes(text.encode(encoding))
    assert opened(imagenet)[SECOND].box == (5, 4, 20, 30)


@pytest.mark.parametrize(
    "text",
    [
        described(GOOD, prefix="v:").replace("<v:annotation>", '<v:annotation xmlns:v="http://example.org/voc">'),
        described(GOOD).replace("<annotation>", '<annotation xmlns="http://example.org/voc">'),
        described(GOOD, head='<?xml version="1.0"?><!DOCTYPE annotation>'),
        described(GOOD).replace(SYNSET, f"<![CDATA[{SYNSET}]]>"),
    ],
)
def test_prefixes_and_a_plain_document_type_do_not_matter(imagenet, text):
    xml_of(imagenet).write_text(text)
    assert opened(imagenet)[SECOND].box == (5, 4, 20, 30)


def test_annotations_without_an_image_are_named(imagenet):
    stray = box_xml(xml_of(imagenet, "stray"), 60, 40, [GOOD])
    scenes = opened(imagenet)
    assert scenes.ids == [FIRST, SECOND]
    assert scenes.notices[-1] == f"1 annotations have no image and are left out: {stray}"


def test_a_broken_image_is_named_when_the_set_opens(imagenet):
    image = imagenet / "val" / SYNSET / f"{SECOND}.JPEG"
    image.unlink()
    image.symlink_to("nowhere.JPEG")
    scenes = opened(imagenet)
    assert (scenes.ids, scenes.unmasked) == ([FIRST], ())
    assert [r.reason for r in scenes.rejected] == [f"expected {image}, but there is no such file; restore it"]


@pytest.mark.parametrize("call", ["stat", "read_bytes"])
def test_a_failing_disk_is_not_taken_for_a_broken_file(imagenet, monkeypatch, call):
    real, xml = getattr(Path, call), xml_of(imagenet)
    scenes = opened(imagenet)

    def fails(self, *arguments, **options):
        if self == xml:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, call, fails)
    with pytest.raises(OSError, match="Input/output error"):
        scenes[SECOND]


def test_flat_folders_read_the_class_from_annotations_of_any_encoding(tmp_path):
    root = write_imagenet(tmp_path, classes=(0,), kaggle=True)
    annotations = root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    (annotations / f"{FIRST}.xml").write_bytes(described(GOOD).encode("utf-16"))
    (annotations / f"{SECOND}.xml").write_bytes(bytes(99))
    scenes = opened(root)
    assert scenes.ids == [FIRST]
    assert [(r.scene, str(annotations / f"{SECOND}.xml") in r.reason) for r in scenes.rejected] == [(SECOND, True)]


def test_kaggles_table_in_another_encoding_is_refused_by_name(tmp_path):
    root = write_imagenet(tmp_path, classes=(0,), kaggle=True)
    (root / "LOC_val_solution.csv").write_bytes("ImageId,PredictionString\né".encode("latin-1"))
    with pytest.raises(BadInput, match=r"^expected Kaggle's table in .*LOC_val_solution\.csv.*restore it$"):
        opened(root)


# --- where the notices go


def test_notices_of_scenes_are_kept_with_the_prepared_scenes(imagenet, caplog):
    xml_of(imagenet).write_text(described(GOOD, (SYNSET, (40, 10, 20, 24))))
    scenes = opened(imagenet)
    notice = scenes[SECOND].notices[0]
    for _ in range(2):  # decoded, then from the cache
        with caplog.at_level(logging.WARNING):
            prepared = prepare(scenes, 32, progress=False)
        assert prepared.scenes.notices == (*scenes.notices, notice)
    assert [record.getMessage() for record in caplog.records] == [
        f"imagenet:val: annotations corrected or partly left out: 1 (bglab data check lists them); the first: {notice}"
    ]


# --- voc


def test_an_object_of_another_class_counts_even_without_a_usable_box(tmp_path):
    root = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    box_xml(root / "Annotations" / "2007_000003.xml", 50, 40, [("cat", (2, 2, 9, 9)), ("dog", (30, 6, 20, 20))])
    scenes = open_scenes(f"voc:{root}")
    assert scenes.ids == ["2007_000001", "2007_000002"]
    assert scenes.notices == ("1 of 3 images show objects of several classes and are skipped",)


def test_voc_names_the_object_it_leaves_out(tmp_path):
    root = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    xml = root / "Annotations" / "2007_000002.xml"
    box_xml(xml, 50, 40, [("dog", (3, 5, 14.7, 24)), ("dog", (30, 6, 21, 20))])
    scene = open_scenes(f"voc:{root}?masks=box")["2007_000002"]
    assert scene.box == (2, 4, 15, 24)
    assert scene.notices == (
        f"object 2 (dog) in {xml} is left out: expected xmin < xmax, got xmin 30 and xmax 21; correct its box",
    )


@pytest.mark.parametrize("content", [b"", bytes(64), b"<annotation>", b"\xfe\xff"])
def test_voc_opens_without_the_image_of_a_broken_annotation(tmp_path, content):
    root = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    xml = root / "Annotations" / "2007_000001.xml"
    xml.write_bytes(content)
    scenes = open_scenes(f"voc:{root}")
    assert scenes.ids == ["2007_000002"]
    assert [(r.scene, str(xml) in r.reason) for r in scenes.rejected] == [("2007_000001", True)]


def test_voc_reads_lists_with_a_byte_order_mark_and_names_twice(tmp_path):
    root = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    names = root / "ImageSets" / "Segmentation" / "val.txt"
    names.write_text("2007_000001\n2007_000002\n2007_000001\ngone\n", encoding="utf-8-sig")
    scenes = open_scenes(f"voc:{root}")
    assert scenes.ids == ["2007_000001", "2007_000002"]
    assert [r.scene for r in scenes.rejected] == ["gone"]
    assert scenes.notices == (f"1 images are listed twice in {names} and used once, such as 2007_000001",)
    names.write_text("2007_000001", encoding="utf-16")
    with pytest.raises(BadInput, match=r"text of another encoding; save it as UTF-8$"):
        open_scenes(f"voc:{root}")
