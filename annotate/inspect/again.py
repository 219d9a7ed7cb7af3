"""The table of images that were sent back and drawn again, filled in like that of a sample.

path = write_again(work, "ram")
rulings = read_again(work, "ram")
decide_again(work, "ram", rulings, who="ina@x.org")
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from annotate.inspect.corrections import Correction, corrections, look_again
from annotate.inspect.overlays import overlay_folder
from annotate.inspect.people import person
from annotate.inspect.rules import check_reason
from annotate.inspect.verdicts import ABOUT, COLUMNS, Ruling, read_rulings, write_rows
from annotate.work import Work, same_person
from annotate.work.inspecting import check_not_own
from partlab.errors import StateError


def again_table(work: Work, object: str) -> Path:
    """Where the table of a category lies: beside the pictures of its newest round."""
    return overlay_folder(work, object, work.batch(object).round) / "again.csv"


def drawn_again(work: Work, objects: Sequence[str] = ()) -> list[Correction]:
    """The images of these categories, or of all, that were sent back and wait for a look."""
    names = objects or [batch.object for batch in work.batches()]
    return [one for name in names for one in corrections(work, name) if one.drawn]


def write_again(work: Work, object: str, who: str) -> Path:
    """A CSV with a line for each image that waits; what was filled in of these drawings stays."""
    path = again_table(work, object)
    said = {(one.image, one.drawn): one for one in _rulings(path)}
    waiting = drawn_again(work, [object])
    rows = [_row(one, said.get((str(one.image_id), one.at)), person(who)) for one in waiting]
    if rows or path.exists():
        write_rows(path, (*COLUMNS, *ABOUT), rows)
    return path


def _row(one: Correction, word: Ruling | None, who: str) -> tuple[object, ...]:
    if word is None:
        return (one.image_id, one.file_name, "", "", "", one.at, who)
    verdict = "pass" if word.passed else "fail"
    said = (verdict, word.reason or "", word.note or "")
    return (one.image_id, one.file_name, *said, one.at, word.inspector or who)


def read_again(work: Work, object: str, who: str) -> list[Ruling]:
    """What `who` filled in on drawings that wait for a verdict; nothing without a table.

    A line is about the drawing that it was written for: one that was looked at since, or drawn
    once more, is left out.

    Raises:
        SchemaError: as `read_table`.
    """
    waiting = {(str(one.image_id), one.at) for one in drawn_again(work, [object])}
    found = _rulings(again_table(work, object)) if waiting else []
    mine = [one for one in found if same_person(one.inspector or who, person(who))]
    return [one for one in mine if (one.image, one.drawn) in waiting]


def check_again(work: Work, object: str, rulings: Iterable[Ruling], who: str) -> None:
    """See that these verdicts can be given.

    Raises:
        ConfigError: a failure without a reason, or a reason without a failure.
        UnknownNameError: the work has no such reason.
        StateError: `who` drew the category.
    """
    with work.read() as session:
        check_not_own(session, work.batch(object), person(who))
    for one in rulings:
        with one.in_words():
            check_reason(work, one.passed, one.reason)


def decide_again(work: Work, object: str, rulings: Iterable[Ruling], who: str) -> list[str]:
    """Give the verdicts, once all of them can be; a sentence on each.

    Raises:
        PartlabError: as `check_again`.
        StateError: an image was drawn once more meanwhile.
    """
    rulings = list(rulings)
    check_again(work, object, rulings, who)
    return [_decide(work, object, one, who) for one in rulings]


def _decide(work: Work, object: str, one: Ruling, who: str) -> str:
    now = {str(c.image_id): c for c in drawn_again(work, [object])}.get(one.image)
    if now is None or now.at != one.drawn:
        raise StateError(
            f"image {one.image} of {object} was drawn once more, or looked at, meanwhile",
            hint="`partlab inspect sample` shows what waits now",
        )
    look_again(work, object, one.image, one.passed, who, reason=one.reason, note=one.note)
    words = "passes" if one.passed else f"goes back to {now.annotator} once more"
    return f"image {one.image} of {object} {words}"


def _rulings(path: Path) -> list[Ruling]:
    return read_rulings(path) if path.exists() else []
