"""The rules of choosing parts, V-04 to V-08: each is broken once; sound ones are quiet."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.vocabulary import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.diff import read_splits
from annotate.vocabulary.edit import add_parts, remove_part, split_part
from annotate.vocabulary.lint import RULES, LintReport, lint
from annotate.vocabulary.measure import MeasureSettings, lint_data
from partlab.coco import write_coco
from partlab.masks import encode
from partlab.schema import Dataset

GUITAR = ("acoustic guitar:fingerboard", "acoustic guitar:strings", "acoustic guitar:body")
IN_BOARD = {"strings": "fingerboard"}
BOARD, STRINGS, BODY = (5, 15, 50, 8), (5, 17, 48, 4), (5, 23, 50, 14)


def one(name: str, *parts: Part | str, **values: Any) -> ObjectParts:
    listed = tuple(p if isinstance(p, Part) else Part(id=p, name=p) for p in parts)
    return ObjectParts(name=name, parts=listed, **values)


def found(*objects: ObjectParts, changes: Sequence[Change] = ()) -> dict[str, list[str]]:
    report = lint(Vocabulary(objects=objects, changes=tuple(changes)))
    return {
        rule: [f"{p.object}: {p.message}" for p in problems]
        for rule, problems in report.by_rule.items()
    }


def test_the_papers_examples_are_quiet() -> None:
    """V-02, V-03, V-07 and V-09 as the paper has them."""
    quadruped = ("head", "body", "foot", "tail")
    car = ("window", "wheel", "front", "left side", "right side", "back", "top side")
    assert (
        found(
            one("hammer", "handle", "striker", "hammerhead"),
            one("ram", *quadruped, "horn", inclusions={"horn": "head"}),
            one("maraca", "head", "joint", "handle"),
            one("car", *car),
        )
        == {}
    )


def test_the_flatworm_is_listed_not_blamed() -> None:
    """V-04."""
    worm = Part(id="flatworm", name="flatworm", source="whole-object")
    assert found(one("flatworm", worm)) == {
        "whole_object": ["flatworm: its one part is 'flatworm'"]
    }
    assert RULES["whole_object"].severity == "note"
    both = found(one("flatworm", worm, "head", "tail"))
    assert both == {"whole_beside_parts": ["flatworm: 'flatworm' is the object itself"]}


def test_how_many_parts() -> None:
    """V-06, V-07: outside 3 to 8 is a warning, with the way to split."""
    maraca = Vocabulary(objects=(one("maraca", "head", "stick"),))
    report = lint(maraca)
    assert [(p.rule, p.message) for p in report.problems] == [("few_parts", "2 parts: head, stick")]
    assert report.count("error") == 0
    assert "split one by function or shape" in RULES["few_parts"].hint
    assert lint(split_part(maraca, "maraca", "stick", ["joint", "handle"])).problems == ()
    letters = "abcdefghi"
    assert found(one("o", *letters[:8])) == {}
    assert list(found(one("o", *letters))) == ["many_parts"]
    assert found(one("o")) == {"no_parts": ["o: no parts"]}


def test_names_that_cannot_be_told_apart() -> None:
    assert found(one("car", "Side-mirror", "side mirror", "wheel")) == {
        "same_name": ["car: 'Side-mirror' and 'side mirror'"]
    }
    assert found(one("car", "wheel", "wheels", "body")) == {
        "plural_twins": ["car: 'wheel' and 'wheels'"]
    }
    names = {
        "wheel ": "'wheel ': it has blanks too many",
        "a, b": "'a, b': it has a ',', which stands between names",
        "a:b": "'a:b': it has a ':', which stands between names",
        "$a": "'$a': it starts with '$', which Label Studio replaces",
        "a\u200b": r"'a\u200b': it has signs that cannot be seen",
        "x" * 81: f"'{'x' * 80}': it is longer than 80 characters",
    }
    assert found(one("car", *names))["untidy_name"] == [f"car: {words}" for words in names.values()]


def test_one_thing_with_several_names() -> None:
    told = found(
        one("car", "wheel", "body", "door"),
        one("cart", "wheels", "body", "shaft"),
        one("tram", "wheel", "Body", "bell"),
    )
    assert told == {
        "spelling": [
            "cart: 'wheels' is 'wheel' in 2 objects",
            "tram: 'Body' is 'body' in 2 objects",
        ]
    }


def test_evidence_and_ids() -> None:
    bare = Part(id="horn", name="horn", source="volunteers")
    assert found(one("ram", bare, "head", "body")) == {
        "no_evidence": ["ram: 'horn' is from volunteers, without evidence"]
    }
    old = Vocabulary(objects=(one("ram", "horn", "head", "body", "tail"),))
    gone = remove_part(old, "ram", "horn")
    assert lint(add_parts(gone, "ram", ["horn"])).problems == ()
    by_hand = found(one("ram", "horn", "head", "body"), changes=gone.changes)
    assert by_hand == {"reused_id": ["ram: 'horn' has the id 'horn'"]}
    split = split_part(old, "ram", "tail", ["root", "tip"]).object("ram")
    back = one("ram", *split.parts, "tail")
    assert list(found(back)) == ["reused_id"]


@pytest.fixture
def measured(make_dataset: Callable[..., Dataset], tmp_path: Path) -> Callable[..., LintReport]:
    """Lint of these objects on a data set of as many images, each with the same masks."""

    def run(objects: Sequence[ObjectParts], masks: Any, images: int = 3, **kw: Any) -> LintReport:
        rows = [(f"{n}.png", "acoustic guitar", masks) for n in range(images)]
        dataset = make_dataset(rows, names=kw.pop("names", GUITAR))
        vocabulary = Vocabulary(objects=tuple(objects))
        if whole := kw.pop("whole", None):
            of_images = whole if isinstance(whole, list) else [whole] * images
            for image, mask in zip(dataset.images, of_images, strict=True):
                image.raw["partlab"]["object_mask"] = mask
            assert dataset.path is not None
            write_coco(dataset, dataset.path)
        splits = read_splits(tmp_path / "human")
        return lint_data(lint(vocabulary), vocabulary, splits, MeasureSettings(**kw))

    return run


GUITAR_MASKS = [(GUITAR[0], BOARD), (GUITAR[1], STRINGS), (GUITAR[2], BODY)]


def rules(report: LintReport) -> dict[str, list[str]]:
    return {rule: [p.message for p in problems] for rule, problems in report.by_rule.items()}


def test_the_guitar_keeps_its_fingerboard(measured: Callable[..., LintReport]) -> None:
    """V-08: of two parts that overlap strongly the larger stays."""
    guitar = one("acoustic guitar", "fingerboard", "strings", "body")
    report = measured([guitar], GUITAR_MASKS)
    assert rules(report) == {
        "overlap": ["100% of strings lies in fingerboard (mean of 3 images); keep fingerboard"]
    }
    assert report.measured == 3
    assert report.count("error") == 0
    assert rules(measured([guitar], GUITAR_MASKS, images=2)) == {}


def test_a_declared_inclusion_may_overlap(measured: Callable[..., LintReport]) -> None:
    declared = one(
        "acoustic guitar",
        "fingerboard",
        "strings",
        "body",
        inclusions={"strings": "fingerboard", "fingerboard": "body"},
    )
    assert rules(measured([declared], GUITAR_MASKS)) == {}
    swapped = one(
        "acoustic guitar", "fingerboard", "strings", "body", inclusions={"fingerboard": "strings"}
    )
    report = measured([swapped], GUITAR_MASKS)
    assert rules(report) == {
        "swapped_inclusion": ["fingerboard is declared in strings, but is larger on average"]
    }
    assert report.count("error") == 1


def test_half_an_overlap_is_none(measured: Callable[..., LintReport]) -> None:
    guitar = one("acoustic guitar", "fingerboard", "strings", "body")
    half = [(GUITAR[0], (0, 0, 20, 10)), (GUITAR[1], (15, 0, 10, 10)), (GUITAR[2], BODY)]
    assert rules(measured([guitar], half)) == {}
    told = rules(measured([guitar], half, overlap=0.49))
    assert told["overlap"][0].startswith("50% of strings lies in fingerboard")


def test_parts_must_be_the_whole_object(measured: Callable[..., LintReport]) -> None:
    """V-05: measured against the object's own mask, where the data has it."""
    guitar = one("acoustic guitar", "fingerboard", "strings", "body", inclusions=IN_BOARD)
    whole = np.zeros((40, 60), bool)
    for left, top, width, height in (BOARD, BODY):
        whole[top : top + height, left : left + width] = True
    assert rules(measured([guitar], GUITAR_MASKS, whole=encode(whole))) == {}
    whole[0:15, 20:40] = True
    report = measured([guitar], GUITAR_MASKS, whole=encode(whole))
    share = (8 * 50 + 14 * 50) / whole.sum()
    mean = f"the parts cover {share:.0%} of the object (mean of 3 images; "
    assert rules(report) == {"cover": [f"{mean}worst 0.png, {share:.0%})"]}
    assert report.unmeasured == ()
    assert rules(measured([guitar], GUITAR_MASKS, whole=encode(whole), cover=0.7)) == {}
    without = measured([guitar], GUITAR_MASKS)
    assert without.unmeasured == ("cover needs masks of whole objects; the data has none",)


def test_the_image_that_is_covered_least_is_named(measured: Callable[..., LintReport]) -> None:
    """The parts are 22 rows high; above them are 5, 15 and 10 more of the object."""
    guitar = one("acoustic guitar", "fingerboard", "strings", "body", inclusions=IN_BOARD)
    wholes = []
    for bare in (5, 15, 10):
        whole = np.zeros((40, 60), bool)
        whole[15 - bare : 37, 5:55] = True
        wholes.append(encode(whole))
    (told,) = rules(measured([guitar], GUITAR_MASKS, whole=wholes))["cover"]
    assert told == ("the parts cover 70% of the object (mean of 3 images; worst 1.png, 59%)")


def test_what_nobody_draws_and_what_nobody_knows(measured: Callable[..., LintReport]) -> None:
    report = measured([one("acoustic guitar", "fingerboard", "strings", "rosette")], GUITAR_MASKS)
    told = rules(report)
    assert told["never_drawn"] == ["rosette is in none of 3 images"]
    assert told["not_in_vocabulary"] == ["no part 'body'"]
    other = rules(measured([one("acoustic guitars", "a", "b", "c")], GUITAR_MASKS))
    assert other["not_in_vocabulary"] == ["no such object; did you mean acoustic guitars?"]


def test_data_of_an_older_version_is_known_by_id(measured: Callable[..., LintReport]) -> None:
    renamed = Part(id="strings", name="chords")
    told = rules(measured([one("acoustic guitar", "fingerboard", renamed, "body")], GUITAR_MASKS))
    assert list(told) == ["overlap"]
