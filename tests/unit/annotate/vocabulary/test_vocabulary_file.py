"""The vocabulary's file: round trips, remarks, words YAML 1.1 would eat, faults with a place."""

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.vocabulary import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary import read_vocabulary as read
from annotate.vocabulary import write_vocabulary as write
from annotate.vocabulary.edit import merge_parts, rename_part, split_part
from partlab.errors import NotFoundError, SchemaError, UnknownNameError
from partlab.inclusions import spelled

FARM = """\
# the farm
name: farm
objects:
  # animals first
  ram:  # the males
    wnid: n02412080
    inclusions: {eye: head}
    # its parts
    parts:
    # above head
    - {name: head, source: wikidata, evidence: [has part]}  # behind head
    - {name: eye, source: wordnet}  # behind eye
    # above body
    - name: body  # the trunk
      source: wikidata  # sure
      evidence: [x]
    # above foot
    - name: foot
    - {name: tail, source: wikidata}  # behind tail
  # then things
  maraca:
    parts: [{name: head}, {name: stick}]
  # last one
  flatworm:
    parts:
    - name: flatworm
      source: whole-object
# the end
"""

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.strip() == text
)
SOURCES = st.sampled_from(["wikidata", "wordnet", "volunteers", "function-or-shape", "manual"])


@st.composite
def object_parts(draw: st.DrawFn, name: str) -> ObjectParts:
    names = draw(st.lists(WORDS, unique=True, max_size=5))
    ids = draw(st.permutations(names))
    parts = tuple(
        Part(
            id=id,
            name=one,
            source=draw(SOURCES),
            evidence=tuple(draw(st.lists(WORDS, max_size=2))),
            origin=tuple(draw(st.lists(WORDS, max_size=2))),
            remark=draw(st.just("") | WORDS),
            definition=draw(st.just("") | WORDS),
            example=draw(st.just("") | WORDS),
        )
        for id, one in zip(ids, names, strict=True)
    )
    some = st.lists(st.sampled_from(list(combinations(ids, 2))), max_size=6)
    inclusions = spelled(draw(some)) if len(ids) > 1 else {}  # in what comes later: no circle
    more = {"wnid": draw(st.none() | st.just("n01")), "note": draw(st.just("") | WORDS)}
    return ObjectParts(name=name, parts=parts, inclusions=inclusions, **more)


@st.composite
def vocabularies(draw: st.DrawFn) -> Vocabulary:
    names = draw(st.lists(WORDS, unique=True, max_size=4))
    changes = draw(
        st.lists(
            st.builds(
                Change,
                version=st.integers(1, 9),
                operation=st.sampled_from(["add", "split", "remove"]),
                object=WORDS,
                before=st.lists(WORDS, max_size=2).map(tuple),
                after=st.lists(WORDS, max_size=2).map(tuple),
                who=st.just("") | WORDS,
            ),
            max_size=3,
        )
    )
    return Vocabulary(
        name=draw(WORDS),
        version=draw(st.integers(1, 99)),
        objects=tuple(draw(object_parts(name)) for name in names),
        changes=tuple(changes),
    )


@settings(deadline=None)  # a busy machine is no fault of the file
@given(vocabularies(), vocabularies())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, first: Vocabulary, second: Vocabulary
) -> None:
    """Also over a file that held something else."""
    path = tmp_path_factory.mktemp("v") / "vocabulary.yaml"
    write(path, first)
    assert read(path) == first
    write(path, second)
    assert read(path) == second
    written = path.read_bytes()
    write(path, second)
    assert path.read_bytes() == written


def test_signs_that_are_escaped_come_back_from_long_texts(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    for sign in ("\t", "\n", "\u2028", "\x85", "\ufeff", "\x07", "\\", '"', "  :"):
        evidence = f"{'a word ' * 9}{(sign + 'b') * 9} {sign * 40} {'more ' * 20}end"
        part = Part(id="a", name="a", evidence=(evidence,))
        vocabulary = Vocabulary(objects=(ObjectParts(name="ram", parts=(part,)),))
        write(path, vocabulary)
        assert read(path) == vocabulary, ascii(sign)


WRITTEN = """\
name: farm
version: 1
language: en
objects:
  ram:
    wnid: n02412080
    remark: animals first; the males; its parts
    inclusions: {eye: head}
    parts:
    - name: head
      source: wikidata
      evidence: [has part]
      remark: above head; behind head
    - name: eye
      source: wordnet
      remark: behind eye
    - name: body
      source: wikidata
      evidence: [x]
      remark: above body; the trunk; sure
    - name: foot
      remark: above foot
    - name: tail
      source: wikidata
      remark: behind tail
  maraca:
    remark: then things
    parts:
    - head
    - stick
  flatworm:
    remark: last one
    parts:
    - name: flatworm
      source: whole-object
"""


def test_comments_of_before_become_remarks_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(FARM, encoding="utf-8")
    old = read(path)
    assert old.object("ram").part("body").remark == "above body; the trunk; sure"
    write(path, old)
    assert path.read_text("utf-8") == WRITTEN
    assert "are not kept (2)" in caplog.text  # of the farm, and of the end
    caplog.clear()
    assert read(path) == old
    write(path, old)
    assert (path.read_text("utf-8"), caplog.text) == (WRITTEN, "")


def test_a_remark_that_is_there_goes_before_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text("objects:\n  ram: [{name: head, remark: 'a # b'}, horn] # two\n", "utf-8")
    ram = read(path).object("ram")
    assert (ram.remark, [part.remark for part in ram.parts]) == ("two", ["a # b", ""])
    path.write_text("objects:\n  ram:\n  - {name: head, remark: mine} # theirs\n", "utf-8")
    assert read(path).object("ram").parts[0].remark == "mine"


def test_remarks_follow_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(FARM, encoding="utf-8")
    new = rename_part(read(path), "ram", "body", "trunk")
    new = merge_parts(new, "ram", ["head", "eye"], "head")
    new = split_part(new, "ram", "tail", ["root", "tip"])
    write(path, new)
    notes = {part.name: part.remark for part in read(path).object("ram").parts}
    assert notes["trunk"] == "above body; the trunk; sure"
    assert notes["head"] == "above head; behind head; behind eye"
    assert (notes["root"], notes["tip"]) == ("behind tail", "behind tail")


def test_no_and_on_stay_words_and_unicode_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text("objects:\n  yes:\n    parts: [{name: no}, {name: on}, {name: Füße: x}]\n")
    with pytest.raises(SchemaError, match="not valid YAML"):
        read(path)
    path.write_text(
        "objects:\n  yes:\n    parts: [{name: no}, {name: on}, {name: 'Füße: 足'}]\n", "utf-8"
    )
    vocabulary = read(path)
    assert vocabulary.names == ("yes",)
    assert vocabulary.object("yes").names == ("no", "on", "Füße: 足")
    write(path, vocabulary)
    assert "Füße: 足" in path.read_text("utf-8")
    assert read(path).objects == vocabulary.objects


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objects: [a]", "`objects` is not a table"),
        ("- a", "is not a table of names"),
        ("", "is not a table of names"),
        (
            "objects:\n  ram: {parts: [{name: a}, {name: a}]}",
            "object 'ram' has two parts of id 'a'",
        ),
        ("objects:\n  ram: {parts: [{nam: a}]}", r"objects.ram.parts.0.*"),
        ("objects:\n  ram: {part: [{name: a}]}", r"objects.ram.part: there is no such"),
        ("objects:\n  ram: {inclusions: {a: b}, parts: [{name: a}]}", "object 'ram'.*'b', which"),
        (
            "objects:\n  ram: {inclusions: {a: b, b: a}, parts: [{name: a}, {name: b}]}",
            "go in a circle: a in b in a",
        ),
        ("objects:\n  ram: {inclusions: {a: a}, parts: [{name: a}]}", "circle: a in a"),
        (
            "objects:\n  ram: {inclusions: {a: [b, c], c: a}, parts: [a, b, c]}",
            "go in a circle: a in c in a",
        ),
        ("objects:\n  ram: {inclusions: {a: [b, d]}, parts: [a, b]}", "a = d names 'd', which"),
        (
            "objects:\n  ram: {inclusions: {a: 7}, parts: [a]}",
            "object 'ram': the inclusion a = 7 is neither the id of a part nor a list of such",
        ),
        ("objects:\n  ram: {inclusions: {a: []}, parts: [a]}", r"a = \[\] is neither the id"),
        ("objects:\n  ram: {inclusions: [a], parts: [a]}", "objects.ram.inclusions: it is not a"),
        ("objects:\n  ram: {}\n  ram: {}", "not valid YAML.*duplicate key"),
        ("objects:\n  ram: {parts: [{name: a, source: hearsay}]}", r"objects.ram.parts.0.source"),
        ("version: 0", "version: "),
        ("objects:\n  ram: head", "objects.ram is not a table"),
        ("objects:\n  ram: 7", "objects.ram is not a table"),
        ("objects:\n  ram: {parts: {name: a}}", "objects.ram.parts: it is not a list"),
        (
            "objects:\n  ram: {parts: [[a]]}",
            "objects.ram.parts.0: it is neither a name nor a table",
        ),
        ("objects:\n  ram: {parts: [{name: 7}]}", "objects.ram.parts.0.name: it is no text"),
        ("objects:\n  ram: {parts: [{source: manual}]}", "objects.ram.parts.0.name: it is missing"),
        ("objects:\n  1.50: {parts: [a]}", "the object category 1.5 is no text"),
        ("objects:\n  ? [a, b]\n  : {}", "the object category .* is no text"),
        ("objects:\n  ram: &r {parts: *r}", "objects.ram.parts: it is not a list"),
        ("objects:\n  ram: {parts: [{name: !!int a}]}", "not valid YAML: invalid literal"),
        ("objects:\n\tram:", r"not valid YAML: line 2: found character '\\t'"),
        ("objects: {}\n---\nobjects: {}", "not valid YAML: line 2: .*another document"),
        ("objects: " + "[" * 3000, "not valid YAML: it is nested too deep"),
        ("objects:\n  ram: !!python/name:os.system {}", "not valid YAML: line 2: .*tag"),
    ],
)
def test_a_fault_is_one_sentence_with_the_objects_name(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SchemaError, match=words) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("object: {}", "objects"),
        ("objects:\n  ram: {part: [a]}", "parts"),
        ("objects:\n  ram: {parts: [{name: a, sourc: manual}]}", "source"),
        ("changes: [{version: 2, operation: add, object: a, who: b, at: c, notes: d}]", "note"),
    ],
)
def test_a_mistyped_field_is_told_its_near_name(tmp_path: Path, text: str, near: str) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SchemaError, match="there is no such field") as caught:
        read(path)
    assert caught.value.hint == f"did you mean {near}?"


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no vocabulary"):
        read(tmp_path / "none.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SchemaError, match="not UTF-8 text"):
        read(tmp_path / "picture.yaml")


def test_a_list_of_names_will_do(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text("\ufeffobjects:\n  ram: [head, horn]\n  ewe:\n    parts: [head]\n", "utf-8")
    vocabulary = read(path)
    assert vocabulary.object("ram").names == ("head", "horn")
    assert vocabulary.object("ewe").parts == (Part(id="head", name="head"),)
    write(path, vocabulary)
    assert read(path) == vocabulary


def test_short_forms_are_read_and_their_comments_too(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    text = (
        "objects:\n  crab:  # ten legs\n  - claw  # two\n  # hard\n  - shell\n  ram: [head] # x\n"
    )
    path.write_text(text, encoding="utf-8")
    crab, ram = read(path).objects
    assert (crab.remark, [part.remark for part in crab.parts]) == ("ten legs", ["two", "hard"])
    assert (ram.remark, ram.parts) == ("x", (Part(name="head", id="head"),))


ANCHORS = """\
objects:
  ram: &ram
    parts: &parts
    - {name: head}   # the skull
    - &tail {name: tail, evidence: [seen]}
  ewe:
    parts: *parts
  cow:
    parts: [*tail, {name: udder}]
  yak:
    <<: *ram
    wnid: n1
"""


@pytest.mark.parametrize("owner", ["ram", "ewe", "cow", "yak"])
def test_an_edit_of_what_an_anchor_shares_changes_one_place(tmp_path: Path, owner: str) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(ANCHORS, encoding="utf-8")
    edited = rename_part(read(path), owner, "tail", "scut")
    write(path, edited)
    assert read(path) == edited
    assert [one.name for one in edited.objects if "scut" in one.names] == [owner]
    assert read(path).object("cow").part("udder").remark == ""


def test_the_hash_is_of_what_annotators_see() -> None:
    ram = ObjectParts(name="ram", parts=(Part(id="h", name="head"), Part(id="b", name="body")))
    base = Vocabulary(objects=(ram,))
    evidence = ram.parts[0].model_copy(update={"evidence": ("seen",)})
    same = base.replaced([ram.model_copy(update={"parts": (evidence, ram.parts[1])})])
    assert same.hash == base.hash
    renamed = ram.parts[0].model_copy(update={"name": "skull"})
    told = ram.parts[0].model_copy(update={"definition": "up to the neck"})
    for other in (
        ram.model_copy(update={"parts": (told, ram.parts[1])}),
        ram.model_copy(update={"note": "lambs, too"}),
        ram.model_copy(update={"parts": (renamed, ram.parts[1])}),
        ram.model_copy(update={"parts": ram.parts[::-1]}),
        ram.model_copy(update={"inclusions": {"h": "b"}}),
    ):
        assert base.replaced([other]).hash != base.hash


def test_names_and_ids_are_looked_up_with_near_names() -> None:
    ram = ObjectParts(name="ram", parts=(Part(id="h", name="head"),), inclusions={})
    vocabulary = Vocabulary(objects=(ram,))
    assert ram.part("h") == ram.named("head")
    with pytest.raises(UnknownNameError, match="unknown part of ram 'heed'") as caught:
        ram.named("heed")
    assert caught.value.hint == "did you mean head?"
    with pytest.raises(UnknownNameError, match="unknown object category 'rm'"):
        vocabulary.object("rm")


def test_an_object_is_part_categories_by_name_whatever_the_ids_are() -> None:
    parts = (Part(id="h", name="head"), Part(id="b", name="body"), Part(id="e", name="eye"))
    ram = ObjectParts(name="ram", parts=parts, inclusions={"e": "h", "h": "b"})
    assert ram.categories.names == ("ram:head", "ram:body", "ram:eye")
    assert ram.categories.ancestors == {0: (1,), 2: (0, 1)}
    assert Vocabulary(objects=(ram,)).inclusions == {"ram": {"eye": "head", "head": "body"}}


def test_one_outer_part_is_written_as_it_always_was_and_several_as_a_list(tmp_path: Path) -> None:
    """A file of before reads the same, and what has one outer part is read by older versions."""
    path = tmp_path / "v.yaml"
    text = "objects:\n  car:\n    inclusions: {mirror: front}\n    parts: [mirror, front, back]\n"
    path.write_text(text)
    car = read(path).object("car")
    assert car.inclusions == {"mirror": "front"}
    pairs = {"mirror": ["front", "back"]}
    write(path, Vocabulary(objects=(car.model_copy(update={"inclusions": pairs}),)))
    assert "inclusions: {mirror: [front, back]}" in path.read_text()
    assert read(path).object("car").inclusions == pairs
    assert read(path).inclusions == {"car": pairs}
    path.write_text(text.replace("front}", "[front]}"))
    assert read(path).object("car") == car
