"""A table of verdicts that an inspector fills in while looking at the pictures (Q-01, Q-02)."""

import csv
import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annotate.inspect.desk import Card, Desk
from annotate.inspect.rules import check_inspector, check_reason
from annotate.inspect.service import Inspection
from annotate.inspect.suspicion import Doubt
from partlab.errors import (
    ConfigError,
    PartlabError,
    SchemaError,
    UnknownNameError,
)
from partlab.files import write_text
from partlab.tables import read_text, rows_of

COLUMNS = ("image", "file_name", "verdict", "reason", "note")
ABOUT = ("drawn", "inspector")
"""Of images that were sent back: when the drawing was made that a line is about, who looks."""
_WORDS = {"pass": True, "p": True, "ok": True, "yes": True, "1": True, "true": True}
_WORDS |= {"fail": False, "f": False, "no": False, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Ruling:
    """One line: an image by id or file name, and the word on it.

    Where the table says so: when the drawing was made that the line is about, and who looks.
    """

    image: str
    passed: bool
    reason: str | None = None
    note: str | None = None
    table: Path | None = None
    line: int = 0
    drawn: str | None = None
    inspector: str | None = None

    def stands(self, card: Card) -> bool:
        """Whether this very word is already on the image."""
        reasons = [(reason or "").casefold() for reason in (card.reason, self.reason)]
        same = reasons[0] == reasons[1]
        return same and (card.passed, card.note) == (self.passed, self.note)

    def card(self, desk: Desk) -> Card:
        """The drawn image that it is about.

        Raises:
            UnknownNameError: it is not in the sample.
        """
        try:
            return desk.card(self.image)
        except UnknownNameError as error:
            error.message = f"image {self.image} is not in the sample of {desk.object}"
            if self.table is not None:
                error.hint = f"is {self.table} another category's?"
            raise

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Let an error about this line say where it stands."""
        try:
            yield
        except PartlabError as error:
            if self.table is not None:
                error.message = f"{self.table} line {self.line}: {error.message}"
            raise


def table_of(desk: Desk) -> Path:
    """Where the table of a round lies: beside its pictures."""
    return desk.sheet.with_name("verdicts.csv")


def write_table(desk: Desk, path: Path, doubts: Sequence[Doubt] = ()) -> None:
    """A CSV with a line for each drawn image and an empty verdict; one that is there is left.

    The likely wrong ones come first, with what speaks against them in a column of its own; a
    plan takes verdicts in the order of its draw, whatever the order of the lines.
    """
    if path.exists():
        return
    why = {one.image_id: one.why for one in doubts}
    first = {image: place for place, image in enumerate(why)}
    cards = sorted(desk.cards, key=lambda card: first.get(card.image_id, len(first)))
    told = [[why.get(card.image_id, "")] if why else [] for card in cards]
    rows = [
        [card.image_id, card.file_name, "", "", "", *words]
        for card, words in zip(cards, told, strict=True)
    ]
    write_rows(path, [*COLUMNS, *(["likely wrong"] if why else [])], rows)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV with these columns."""
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    write_text(path, buffer.getvalue())


def read_table(path: Path) -> list[Ruling]:
    """The lines that have a verdict (pass or fail); comma, semicolon or tab, as spreadsheets do.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is no CSV with the columns image and verdict, has no verdict, one that is
            neither, or two for an image.
    """
    found = read_rulings(path)
    if not found:
        raise SchemaError(f"{path} has no verdict yet", hint="write pass or fail in its column")
    return found


def read_rulings(path: Path) -> list[Ruling]:
    """As `read_table`, of a table that may have no verdict yet."""
    rows = rows_of(read_text(path), strict=True)
    try:
        return _rulings(path, rows)
    except csv.Error as error:
        raise SchemaError(f"{path} near line {rows.line_num}: {error}") from error


def _rulings(path: Path, rows: "csv.DictReader[str]") -> list[Ruling]:
    if not {"image", "verdict"} <= set(rows.fieldnames or ()):
        raise SchemaError(
            f"{path} has no columns image and verdict",
            hint="`partlab inspect sample` writes such a table beside the pictures",
        )
    found: dict[str, Ruling] = {}
    for row in rows:
        one = _ruling(path, rows.line_num, row)
        if one is not None and found.setdefault(one.image, one) is not one:
            raise SchemaError(
                f"{path} line {rows.line_num}: image {one.image} has a verdict further up"
            )
    return list(found.values())


def _ruling(path: Path, line: int, row: Mapping[str, str | None]) -> Ruling | None:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not values["verdict"]:
        return None
    if values["verdict"].lower() not in _WORDS:
        raise SchemaError(
            f"{path} line {line}: the verdict is {values['verdict']!r}", hint="write pass or fail"
        )
    passed = _WORDS[values["verdict"].lower()]
    words = values["reason"] or None, values["note"] or None
    about = (row.get(name) or None for name in ABOUT)
    return Ruling(values["image"], passed, *words, path, line, *about)


def decide_all(
    inspection: Inspection, object: str, rulings: Iterable[Ruling], who: str
) -> tuple[Desk, int]:
    """Give several verdicts, in the order that the plan asks for them; how many were given.

    Left out are those that stand already, those that the plan no longer needs, and those that
    wait because one before them is not given. Nothing is given unless all of them can be.

    Raises:
        UnknownNameError: an image is not in the sample, or a reason is unknown.
        ConfigError: a failure has no reason, or an image two verdicts.
        StateError: as `Inspection.decide`.
    """
    desk, left = _checked(inspection, object, rulings, who)
    given = len(left)
    while (now := _turn(desk, left)) is not None:
        one = left.pop(now.image_id)
        desk = inspection.decide(
            object, now.image_id, one.passed, who, reason=one.reason, note=one.note
        )
    return desk, given - len(left)


def foresee_all(inspection: Inspection, object: str, rulings: Iterable[Ruling], who: str) -> Desk:
    """What `decide_all` would lead to; nothing is recorded. It raises what that raises."""
    _, left = _checked(inspection, object, rulings, who)
    return inspection.foresee(object, {image: one.passed for image, one in left.items()}, who)


def _checked(
    inspection: Inspection, object: str, rulings: Iterable[Ruling], who: str
) -> tuple[Desk, dict[int, Ruling]]:
    """The rulings by image that do not stand yet, once all of them can be given."""
    desk = inspection.being_inspected(object)
    cards = []
    for ruling in rulings:
        with ruling.in_words():
            cards.append((ruling.card(desk), ruling))
            check_reason(inspection.work, ruling.passed, ruling.reason)
            check_inspector(cards[-1][0], who)
    if len({card.image_id for card, _ in cards}) < len(cards):
        raise ConfigError("an image has two verdicts, once by its id and once by its name")
    return desk, {card.image_id: ruling for card, ruling in cards if not ruling.stands(card)}


def _turn(desk: Desk, left: Container[int]) -> Card | None:
    """The next image that can have one of the verdicts left: one to correct, else one due."""
    mine = [card for card in desk.cards if card.image_id in left and desk.state == "sampled"]
    again = (card for card in mine if card.passed is not None)
    return next(again, next((card for card in mine if card.due), None))
