"""Pictures by the names that evaluations give them: `class/file`, of data sets and folders."""

from pathlib import Path

import tiny_recognition as tiny
from colour_segmenter import draw

from app.web.given import Given
from app.web.library import Library
from train.evaluate.shown import key_of, open_data


def test_an_evaluations_name_leads_to_the_very_picture(tmp_path: Path) -> None:
    data = tiny.world(tmp_path / "world")
    draw(tmp_path / "photos" / "bike" / "one.png", "bike")
    library = Library(Given.of([data, tmp_path / "photos"]))
    pictures = open_data(data, "heldout", tmp_path / "cache")
    keys = [key_of(pictures, n) for n in range(len(pictures))]
    found = library.keyed([*keys, "bike/one.png", "bike/none.png"])
    assert found.keys() == {*keys, "bike/one.png"}
    for key, offered in found.items():
        assert offered.path.is_file()
        assert offered.path.name == Path(key).name
        assert library.find(offered.name) == offered
    assert all(found[key].name.startswith("world/heldout/") for key in keys)
