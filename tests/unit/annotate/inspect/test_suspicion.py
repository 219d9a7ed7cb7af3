"""Likely wrong first: what a kept audit says to inspectors, and what it never changes."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farm_drawn import begin
from typer.testing import CliRunner

from annotate.inspect.audit import Audit, Reason, Suspect
from annotate.inspect.service import Inspection
from annotate.inspect.suspicion import keep_audit, likely_wrong
from annotate.inspect.verdicts import decide_all, read_table, write_table
from annotate.work import Work
from app.cli.main import app
from partlab.errors import SchemaError

INA = "ina@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with begin(tmp_path / "work") as made:
        yield made


def audited(work: Work, *images: int) -> None:
    """An audit that finds these images likely wrong, the first most of all, and no others."""
    names = {image.id: image.file_name for image in work.images("ram")}
    why = (Reason("placed", "ram:horn", "nothing was found where it is drawn", 0.4),)
    rank = [*images, *(id for id in names if id not in images)]
    scores = {id: 1 - place / 20 for place, id in enumerate(rank)}
    keep_audit(
        work,
        Audit(
            [Suspect(i, names[i], "ram", scores[i], why if i in images else ()) for i in names],
        ),
    )


def told(*words: object) -> Any:
    done = CliRunner().invoke(app, ["inspect", "sample", *map(str, words), "--by", INA])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_audit_changes_what_is_looked_at_first_and_never_what_is_drawn(tmp_path: Path) -> None:
    with begin(tmp_path / "a") as plain, begin(tmp_path / "b") as known:
        plan = Inspection(plain).sample("ram", INA)
        images = [card.image_id for card in plan.cards]
        assert likely_wrong(plain, plan) == []
        left = next(image.id for image in plain.images("ram") if image.id not in images)
        last = images[-1]
        audited(known, last, left, images[3])
        desk = Inspection(known).sample("ram", INA)
        assert [card.image_id for card in desk.cards] == images
        found = likely_wrong(known, desk)
    assert [(one.image_id, one.drawn) for one in found] == [
        (last, True),
        (left, False),
        (images[3], True),
    ]
    assert found[0].why == "horn: nothing was found where it is drawn"


def test_what_was_drawn_again_since_and_what_has_a_verdict_is_no_longer_likely_wrong(
    work: Work,
) -> None:
    inspection = Inspection(work)
    audited(work, *[image.id for image in work.images("ram")[:3]])
    desk = inspection.sample("ram", INA)
    drawn_ones = [one.image_id for one in likely_wrong(work, desk) if one.drawn]
    desk = inspection.decide("ram", drawn_ones[0], True, INA)
    assert drawn_ones[0] not in [one.image_id for one in likely_wrong(work, desk)]
    kept = json.loads((work.folder / "audit.json").read_text())
    kept["masks"][str(drawn_ones[1])] = "of other masks"
    (work.folder / "audit.json").write_text(json.dumps(kept))
    assert drawn_ones[1] not in [one.image_id for one in likely_wrong(work, desk)]


def test_the_table_begins_with_them_and_verdicts_are_read_as_ever(
    work: Work, tmp_path: Path
) -> None:
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    last = desk.cards[-1].image_id
    audited(work, last)
    path = tmp_path / "verdicts.csv"
    write_table(desk, path, likely_wrong(work, desk))
    rows = list(csv.reader(path.open(newline="")))
    assert rows[0][-1] == "likely wrong"
    assert rows[1] == [str(last), desk.cards[-1].file_name, "", "", "", rows[1][-1]]
    assert rows[1][-1].startswith("horn: ")
    assert [row[-1] for row in rows[2:]] == [""] * 9
    for row in rows[1:]:
        row[2] = "pass"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    desk, given = decide_all(inspection, "ram", read_table(path), INA)
    assert (desk.state, given) == ("accepted", 10)


def test_the_command_tells_them_first_with_why(work: Work) -> None:
    folder = work.folder
    desk = Inspection(work).sample("ram", INA)
    images = {card.image_id for card in desk.cards}
    left = next(image.id for image in work.images("ram") if image.id not in images)
    audited(work, desk.cards[5].image_id, left)
    work.close()
    words = told(folder, "ram")
    assert f"    image {desk.cards[5].image_id}: horn: nothing was found" in words
    assert words.index("likely wrong first") < words.index("but not drawn")
    assert words.index("but not drawn") < words.index(f"    image {left}: horn")
    assert (desk.sheet.parent / "doubts.png").is_file()
    (found,) = json.loads(told(folder, "ram", "--json"))
    assert [one["image_id"] for one in found["likely_wrong"]] == [desk.cards[5].image_id, left]
    (folder / "audit.json").write_text("{}")
    done = CliRunner().invoke(app, ["inspect", "sample", str(folder), "ram", "--by", INA])
    assert (done.exit_code, "is damaged" in done.stderr) == (5, True)


def test_auditing_a_work_keeps_the_scores_in_it(work: Work) -> None:
    folder = work.folder
    work.close()
    done = CliRunner().invoke(app, ["inspect", "audit", str(folder)])
    assert done.exit_code == 0, done.output
    assert "likely wrong images first" in done.stdout
    kept = json.loads((folder / "audit.json").read_text())
    assert len(kept["masks"]) == len(kept["images"]) == 12


def test_a_damaged_file_is_said(work: Work) -> None:
    desk = Inspection(work).sample("ram", INA)
    (work.folder / "audit.json").write_text('{"images": [{}]}')
    with pytest.raises(SchemaError, match="is damaged"):
        likely_wrong(work, desk)
