"""What a place is recognised as, and what is offered of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from colour_segmenter import draw, draw_folder, write_colour_run

from annotate.world import WorldConfig, make_world
from app.web.given import Given
from app.web.library import Library
from partlab.errors import ConfigError, NotFoundError
from partlab.files import write_json
from partlab.training.runs import write_config


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything."""
    folder = tmp_path_factory.mktemp("everything")
    write_colour_run(folder / "seg")
    (folder / "models" / "mpm").mkdir(parents=True)
    write_config(folder / "models" / "mpm", {"kind": "recognition"})
    (folder / "models" / "other").mkdir()
    write_json(folder / "models" / "other" / "card.json", {})
    make_world(folder / "world", WorldConfig(images=14, pool=0, heldout=28, size=48))
    draw_folder(folder / "photos", 9)
    (folder / "farm").mkdir()
    write_json(folder / "farm" / "work.json", {})
    (folder / ".hidden").mkdir()
    write_json(folder / ".hidden" / "work.json", {})
    return folder


def test_a_folder_of_everything(places: Path) -> None:
    given = Given.of([places])
    assert list(given.segmenters) == ["seg"]
    assert list(given.recognition) == ["mpm", "other"]
    assert list(given.data) == ["world"]
    assert list(given.pictures) == ["photos"]
    assert list(given.works) == ["farm"]
    assert given.stores == {}
    assert given.told() == (
        "segmenter seg; recognition models mpm, other; data set world; work farm; "
        "folder of pictures photos"
    )


def test_a_store(make_store: Callable[..., Any]) -> None:
    store = make_store([("cat/a.png", "cat", [(1, (2, 2, 10, 10), 0.9)])])
    given = Given.of([store.path])
    assert list(given.stores.values()) == [store.path]
    assert given.data == {}


def test_a_data_set_with_a_manifest_is_no_store(places: Path) -> None:
    """The export of a work says in it what it is made of."""
    write_json(places / "world" / "manifest.json", {"work": {}})
    given = Given.of([places])
    assert (list(given.data), given.stores) == (["world"], {})


def test_one_coco_file_is_a_data_set(places: Path) -> None:
    file = places / "world" / "annotations" / "train.json"
    assert list(Given.of([file]).data.values()) == [file]


def test_two_of_one_name_and_one_twice(tmp_path: Path) -> None:
    for each in ("a", "b"):
        write_colour_run(tmp_path / each / "seg")
    given = Given.of([tmp_path / "a" / "seg", tmp_path / "a", tmp_path / "b"])
    assert list(given.segmenters) == ["seg", "b/seg"]


@pytest.mark.parametrize("kind", ["empty", "damaged", "text"])
def test_what_is_nothing_is_said(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    if kind == "damaged":
        (folder / "config.json").write_text("{")
    if kind == "text":
        (folder / "notes.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(ConfigError, match="is nothing that the app shows"):
        Given.of([folder])
    with pytest.raises(NotFoundError):
        Given.of([tmp_path / "none"])


def test_pictures_of_a_data_set_come_from_what_nothing_was_trained_on(places: Path) -> None:
    library = Library(Given.of([places / "world"]))
    offered = library.offered(8)
    assert len(offered) == 8
    assert {each.name.split("/")[1] for each in offered} == {"heldout"}
    assert len({each.object for each in offered}) > 4
    assert all(each.path.is_file() for each in offered)
    assert library.find(offered[3].name) == offered[3]


def test_names_lead_to_listed_pictures_only(places: Path) -> None:
    library = Library(Given.of([places]))
    assert library.find("photos/cat/00001.png").object == "cat"
    for name in (
        "photos/../seg/config.json",
        "photos//etc/passwd",
        "photos/cat/none.png",
        "world/heldout/none.png",
        "world/none/a.png",
        "world",
        "none/a.png",
        "/etc/passwd",
        "",
    ):
        with pytest.raises(NotFoundError):
            library.find(name)


def test_a_link_out_of_a_folder_is_what_its_owner_put_there(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "cat" / "a.png", "cat")
    (tmp_path / "photos" / "cat" / "b.png").symlink_to(tmp_path / "photos" / "cat" / "a.png")
    library = Library(Given.of([tmp_path / "photos"]))
    assert library.find("photos/cat/b.png").path.is_file()


def test_an_exported_data_set_has_a_manifest_and_is_no_store(
    tmp_path: Path, make_dataset: Any, make_store: Any
) -> None:
    make_dataset([("cat/1.png", "cat", [("cat:head", (0, 0, 9, 9))])], folder="parts")
    (tmp_path / "parts" / "manifest.json").write_text('{"work": {"name": "farm"}, "rounds": {}}')
    make_store([("cat/1.png", "cat", [(1, (0, 0, 9, 9), 0.9)])])
    given = Given.of([tmp_path / "parts", tmp_path / "pseudo"])
    assert (list(given.data), list(given.stores)) == (["parts"], ["pseudo"])
