"""COCO files: reading then writing gives the same bytes; what is wrong is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partlab.coco import find_splits, read_coco, read_dataset, with_images_at, write_coco
from partlab.errors import NotFoundError, PartlabError, SchemaError
from partlab.schema import Annotation, Category, Dataset, Discard, Image
from partlab.spelling import spelled

Raw = dict[str, Any]
NUMBERS = st.integers() | st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.text(max_size=6).filter(lambda key: key != "partlab")
EXTRA = st.dictionaries(KEYS, JSON, max_size=3)
ID = st.integers(-5, 10**12)


def record(**needed: Any) -> st.SearchStrategy[Raw]:
    """Unknown keys before and after the known ones, and sometimes our own."""
    ours = st.fixed_dictionaries({}, optional={"partlab": EXTRA})
    parts = st.tuples(EXTRA, st.fixed_dictionaries(needed), EXTRA, ours)
    return parts.map(
        lambda p: {**p[0], **p[1], **{k: v for k, v in p[2].items() if k not in needed}, **p[3]}
    )


IMAGE = record(id=ID, file_name=st.text(max_size=12), width=ID, height=ID)
SPELLED = JSON.filter(lambda value: spelled(value) is value)  # others are written repaired
ANNOTATION = record(id=ID, image_id=ID, category_id=ID, segmentation=SPELLED)
CATEGORY = record(id=ID, name=st.text(max_size=12))
FILES = st.fixed_dictionaries(
    {
        "images": st.lists(IMAGE, max_size=3),
        "annotations": st.lists(ANNOTATION, max_size=3),
        "categories": st.lists(CATEGORY, max_size=3),
    },
    optional={
        "info": JSON,
        "partlab": st.fixed_dictionaries(
            {},
            optional={
                "inclusions": st.dictionaries(
                    st.text(max_size=5),
                    st.dictionaries(
                        st.text(max_size=5),
                        st.text(max_size=5) | st.lists(st.text(max_size=5), min_size=1, max_size=3),
                    ),
                ),
                "discards": st.lists(EXTRA, max_size=2),
                "origin": JSON,
            },
        ),
    },
).flatmap(lambda found: st.permutations(list(found.items())).map(dict))


@settings(deadline=None)  # files: how long that takes is the machine's business
@given(FILES, st.booleans(), st.booleans(), st.booleans())
def test_read_then_write_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    data: Raw,
    compact: bool,
    ascii: bool,
    newline: bool,
) -> None:
    """Unknown keys, key order, numbers and spelling survive, whatever Python's json wrote."""
    separators = (",", ":") if compact else (", ", ": ")
    text = json.dumps(data, ensure_ascii=ascii, separators=separators) + "\n" * newline
    path = tmp_path_factory.getbasetemp() / "same.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    write_coco(read_coco(path, as_is=True), path)
    assert path.read_bytes() == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("owner", [":", "snow:bird", "a : b"])
def test_an_owner_with_a_colon_keeps_its_spelling(tmp_path: Path, owner: str) -> None:
    """Objects are compared with a space for the colon; the file keeps what was written."""
    text = json.dumps(coco(partlab={"inclusions": {owner: {"beak": "head"}}}))
    path = tmp_path / "same.json"
    path.write_text(text, encoding="utf-8")
    read = read_coco(path, as_is=True)
    assert read.inclusions == {owner.replace(":", " "): {"beak": "head"}}
    write_coco(read, path)
    assert path.read_text(encoding="utf-8") == text


def test_several_outer_parts_are_a_list_and_one_a_text(tmp_path: Path) -> None:
    given = {"goose": {"eye": ["head", "body"], "beak": ["head"]}}
    read = read_coco(put(tmp_path / "x.json", coco(partlab={"inclusions": given})), as_is=True)
    assert read.inclusions == {"goose": {"eye": ["head", "body"], "beak": "head"}}
    changed = {"goose": {"eye": ["body", "head"], "beak": "head"}}
    write_coco(replace(read, inclusions=changed), tmp_path / "y.json")
    stated = json.loads((tmp_path / "y.json").read_text())["partlab"]["inclusions"]
    assert stated == changed == read_coco(tmp_path / "y.json", as_is=True).inclusions


def test_two_spellings_of_an_owner_lose_no_inclusion(tmp_path: Path) -> None:
    """ "snow:bird" and "snow bird" are one object, so its inclusions are those of both."""
    both = {"snow:bird": {"beak": "head"}, "snow bird": {"claw": "foot", "beak": "face"}}
    read = read_coco(put(tmp_path / "x.json", coco(partlab={"inclusions": both})), as_is=True)
    assert read.inclusions == {"snow bird": {"beak": ["head", "face"], "claw": "foot"}}


def coco(**more: Any) -> Raw:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 5, "height": 4}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": []}],
        "categories": [{"id": 1, "name": "goose:beak"}],
        **more,
    }


def put(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def test_numbers_keep_their_form(tmp_path: Path) -> None:
    text = json.dumps(coco(info=[1, 1.0, 1e300, 0.1, -0.0]))
    (tmp_path / "a.json").write_text(text)
    write_coco(read_coco(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == text


def test_a_new_data_set_is_written_whole(tmp_path: Path) -> None:
    dataset = Dataset(
        [Image.new(1, "ä.jpg", (5, 4), object="goose")],
        [Annotation.new(1, 1, 1, [], area=3, provenance="human:a")],
        [Category.new(1, "goose", "beak", wnid="n01855672")],
        {"goose": {"beak": "head"}},
        [Discard({"file_name": "b.jpg"})],
    )
    again = read_coco(write_coco(dataset, tmp_path / "new" / "a.json"))
    for name in ("images", "annotations", "categories", "discards"):
        assert [r.raw for r in getattr(again, name)] == [r.raw for r in getattr(dataset, name)]
    assert again.inclusions == {"goose": {"beak": "head"}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [{"id": 1, "width": 5, "height": 4}]}, r"images\[0\] has no 'file_name'"),
        ({"images": [5]}, r"images\[0\] is not an object"),
        ({"annotations": [{"id": [1], "image_id": 1, "category_id": 1}]}, r"'id' \[1\], which is"),
        ({"annotations": [{"id": True, "image_id": 1, "category_id": 1}]}, "'id' true, which"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": None}]}, "'category_id' null"),
        ({"annotations": [{"id": 1, "category_id": 1}]}, "has no 'image_id'"),
        ({"categories": [{"id": 1, "name": 7}]}, "'name' 7, which is not text"),
        ({"categories": [{"id": 1, "name": "x", "partlab": 3}]}, "'partlab' that is not an object"),
        ({"categories": None}, "no list 'categories'"),
        ({"partlab": {"inclusions": []}}, "inclusions"),
        ({"partlab": {"inclusions": {"goose": ["beak"]}}}, "inclusions"),
        ({"partlab": {"inclusions": {"goose": {"beak": 3}}}}, "inclusions"),
        ({"partlab": {"inclusions": {"goose": {"beak": []}}}}, r"\{inner: \[outer, …\]\}"),
        ({"partlab": {"inclusions": {"goose": {"beak": ["head", 3]}}}}, "inclusions"),
        ({"partlab": {"discards": ["x"]}}, "discards"),
        ({"partlab": [1]}, "inclusions"),
    ],
)
def test_broken_files_name_file_and_record(change: Raw, words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "bad.json", coco(**change))
    with pytest.raises(SchemaError, match=words) as caught:
        read_coco(path)
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "\xff"])
def test_files_that_are_no_coco(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SchemaError, match=r"bad\.json"):
        read_coco(tmp_path / "bad.json")


def test_reading_sets_broken_records_aside_and_keeps_them(tmp_path: Path) -> None:
    data = coco()
    data["annotations"].append({"id": 9})
    data["images"].insert(0, "x")
    dataset = read_coco(put(tmp_path / "a.json", data))
    assert (len(dataset.images), len(dataset.annotations)) == (1, 1)
    assert [(b["list"], b["position"], b["record"]) for b in dataset.broken] == [
        ("images", 0, "x"),
        ("annotations", 1, {"id": 9}),
    ]
    again = read_coco(write_coco(dataset, tmp_path / "b.json"))
    assert again.broken == dataset.broken
    assert read_coco(put(tmp_path / "c.json", coco())).broken == []


def test_the_pictures_folder_is_found(tmp_path: Path) -> None:
    path = put(tmp_path / "annotations" / "train.json", coco())
    assert read_coco(path).image_root == tmp_path
    (tmp_path / "images").mkdir()
    dataset = read_coco(path)
    assert dataset.image_path(dataset.images[0]) == tmp_path / "images" / "a.jpg"
    assert with_images_at(dataset, "x").image_path(dataset.images[0]) == Path("x/a.jpg")
    assert read_coco(put(tmp_path / "one.json", coco())).image_root == tmp_path / "images"


def test_splits_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="empty or has no"):
        find_splits(tmp_path)
    with pytest.raises(NotFoundError, match="does not exist"):
        find_splits(tmp_path / "x")
    train = put(tmp_path / "annotations" / "train.json", coco())
    assert read_dataset(tmp_path).path == train
    val = put(tmp_path / "annotations" / "val.json", coco())
    assert find_splits(tmp_path) == {"train": train, "val": val}
    assert read_dataset(tmp_path, "val").path == val
    with pytest.raises(NotFoundError, match="several splits") as caught:
        read_dataset(tmp_path)
    assert "train, val" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="no split 'test'"):
        read_dataset(tmp_path, "test")
    single = put(tmp_path / "annotations.json", coco())
    assert find_splits(tmp_path) == {"annotations": single}
    assert find_splits(val) == {"val": val}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", coco())
    before = path.read_bytes()
    bad = Dataset([Image({"id": object()})], [], [])
    with pytest.raises(TypeError):
        write_coco(bad, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(PartlabError, match="cannot write"):
        write_coco(read_coco(path), path / "below" / "a.json")


def _with_ground(path: Path, ground: int) -> Path:
    """A file with one mask of `bird:head` (category 1) and one of the background."""
    mask = {"image_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]], "iscrowd": 0}
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 4}],
        "annotations": [
            {"id": 1, "category_id": 1} | mask,
            {"id": 2, "category_id": ground} | mask,
        ],
        "categories": [{"id": 1, "name": "bird:head"}, {"id": ground, "name": "background"}],
    }
    path.write_text(json.dumps(data))
    return path


def test_masks_of_the_background_stay_in_a_file_that_is_mended(tmp_path: Path) -> None:
    path = _with_ground(tmp_path / "a.json", 2)
    assert len(read_coco(path, as_is=True).annotations) == 2
    assert [a.id for a in read_coco(path).annotations] == [1]


def test_no_mask_is_lost_where_the_background_has_the_id_of_a_part(tmp_path: Path) -> None:
    data = read_coco(_with_ground(tmp_path / "a.json", 1))
    assert data.names == ("bird:head",)
    assert len(data.annotations) == 2


def _with(path: Path, ours: Any, **image: Any) -> Path:
    first = {"id": 1, "file_name": "a.jpg", "width": 4, "height": 4, **image}
    data = {"images": [first], "annotations": [], "categories": [], "partlab": ours}
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("key", ["broken", "dropped"])
def test_nothing_set_aside_may_be_null_but_no_text(tmp_path: Path, key: str) -> None:
    data = read_coco(_with(tmp_path / "a.json", {key: None}), as_is=True)
    assert (list(data.broken), list(data.dropped), dict(data.incomplete)) == ([], [], {})
    assert data.subset([1]).images
    with pytest.raises(SchemaError, match=f"'{key}' under 'partlab' is not a list"):
        read_coco(_with(tmp_path / "a.json", {key: "x"}))


@pytest.mark.parametrize("discard", [{"file_name": {}}, {"partlab": {"object": []}}])
def test_discards_have_texts(tmp_path: Path, discard: Any) -> None:
    with pytest.raises(SchemaError, match="discards"):
        read_coco(_with(tmp_path / "a.json", {"discards": [discard]}))


@pytest.mark.parametrize("width", [1e300, 10**30])
def test_a_size_that_no_picture_has_is_none(tmp_path: Path, width: Any) -> None:
    data = read_coco(_with(tmp_path / "a.json", {}, width=width), as_is=True)
    assert data.images[0].width == 0


def test_half_a_surrogate_pair_is_written_as_it_was(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(_with(source, {}, note="\u00e9 X").read_text().replace("X", "\\ud800"))
    source.write_text(source.read_text().replace("\\u00e9", "\u00e9"), encoding="utf-8")
    out = write_coco(read_coco(source, as_is=True), tmp_path / "out.json")
    assert out.read_text("utf-8").strip() == source.read_text("utf-8").strip()
