"""What the page Inspect is given, without a browser."""

from pathlib import Path

import pytest
from farm_drawn import begin

from annotate.inspect.corrections import send_back
from annotate.inspect.service import Inspection
from app.web.pages.inspect.pictures import picture_of
from app.web.pages.inspect.sheets import again_sheet, example_of, round_sheet
from app.web.shown import Shown
from partlab.errors import NotFoundError

INA = "ina@x.org"


def test_any_image_of_an_accepted_category_can_be_sent_back(tmp_path: Path) -> None:
    with begin(tmp_path / "work") as work:
        inspection = Inspection(work)
        desk = inspection.sample("ram", INA)
        assert len(round_sheet(work, "ram", INA)["cards"]) == 10
        assert example_of(work, "ram", Shown()) is None
        inspection.pass_rest("ram", INA)
        sheet = round_sheet(work, "ram", INA)
        assert len(sheet["cards"]) == 12
        drawn = {card.image_id for card in desk.cards}
        (other, _) = [card["image"] for card in sheet["cards"] if card["image"] not in drawn]
        send_back(work, "ram", other, INA, reason="outline")
        back = [card["image"] for card in round_sheet(work, "ram", INA)["cards"] if card["back"]]
        assert back == [other]
        assert again_sheet(work, "ram", INA)["cards"] == []  # until it is drawn again
        example = example_of(work, "ram", Shown())
        assert example is not None
        assert (example["round"], example["words"]) == (1, f"passed by {INA}")


def test_names_stand_where_no_other_part_lies(tmp_path: Path) -> None:
    with begin(tmp_path / "work") as work:
        found = picture_of(work, "ram", 1, 5, Shown())
        marks = {mark["part"]: mark for mark in found["marks"]}
        assert [mark["part"] for mark in found["marks"]].index("horn") > [
            mark["part"] for mark in found["marks"]
        ].index("head")  # what lies in another is drawn over it
        assert marks["head"]["area"] == 14 * 14
        x, y = marks["head"]["x"] * 64, marks["head"]["y"] * 48
        assert not (8 <= x <= 13 and 11 <= y <= 16)  # the horn's box
        (work.folder / "images" / "ram" / "000005.png").unlink()
        gone = picture_of(work, "ram", 1, 5, Shown())
        assert gone["src"] == ""
        assert "000005" in gone["trouble"] or "image 5" in gone["trouble"]
        assert len(gone["marks"]) == 3  # the masks can still be seen
        with pytest.raises(NotFoundError):
            picture_of(work, "ram", 1, 999, Shown())
