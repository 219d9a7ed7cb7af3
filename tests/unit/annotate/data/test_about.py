"""What an inspected data set says of its work stays with it wherever the data go, or is told."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.data.convert import export_folder, import_folder
from annotate.data.effort import Effort, PersonEffort
from annotate.data.fix import fix_folder
from annotate.data.merge import merge_folders
from annotate.data.sample import sample_images
from annotate.data.split import split_dataset, write_splits
from app.cli.main import app
from partlab.coco import find_splits, read_coco, read_dataset

KEYS = ("work", "rounds", "effort")


def effort(who: str, hours: float) -> dict[str, Any]:
    """The figures of a small work that one person drew."""
    names = ("annotators", "categories", "accepted", "rounds")
    zero = ("inspectors", "rejections", "verdicts", "failed_verdicts", "looked_at", "discarded")
    zero += ("discards_final", "discards_restored", "discards_waiting", "flags")
    people = [PersonEffort(who, "annotator", hours, 4, 1)]
    nothing = dict.fromkeys(("minutes_per_image", "rejected_share", "discard_rate"))
    counts = {**dict.fromkeys(names, 1), **dict.fromkeys(zero, 0), **nothing}
    return asdict(Effort(hours=hours, fail_reasons={}, regions={}, people=people, **counts))


def inspected(folder: Path, work: str, hours: float) -> Path:
    """Four cats that `inspect export` could have written."""
    images, annotations = [], []
    for n in range(1, 5):
        images.append({"id": n, "file_name": f"{work}{n}.png", "width": 60, "height": 40})
        box = [[5, 5, 25, 5, 25, 15, 5, 15]]
        one = {"id": n, "image_id": n, "category_id": 1, "segmentation": box, "iscrowd": 0}
        annotations.append(one)
        noise = np.random.default_rng([n, len(work)]).integers(0, 255, (40, 60, 3), np.uint8)
        path = folder / "images" / f"{work}{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(noise).save(path)
    categories = [{"id": 1, "name": "cat:head", "supercategory": "cat"}]
    data: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
    data["info"] = {"description": f"cats of {work}"}
    data["partlab"] = {
        "work": {"name": work, "id": f"id of {work}"},
        "rounds": {"cat": {"round": 2, "state": "accepted", "images": 4}},
        "effort": effort(f"{work}@x.org", hours),
    }
    file = folder / "annotations" / "all.json"
    file.parent.mkdir()
    file.write_text(json.dumps(data))
    return folder


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    return inspected(tmp_path / "farm", "farm", 3.0)


@pytest.fixture
def barn(tmp_path: Path) -> Path:
    return inspected(tmp_path / "barn", "barnyard", 5.5)


def ours(folder: Path) -> list[dict[str, Any]]:
    return [read_coco(file).top["partlab"] for file in find_splits(folder).values()]


def split(source: Path, out: Path) -> None:
    write_splits(split_dataset(read_dataset(source), ratio=0.5), out, {})


def split_and_joined(source: Path, out: Path) -> None:
    split(source, out.with_name("divided"))
    merge_folders([out.with_name("divided")], out, split="train")


def sampled(source: Path, out: Path) -> None:
    sample_images(source, out, per_object=2)


def fixed(source: Path, out: Path) -> None:
    fix_folder(source, out)


def converted(source: Path, out: Path) -> None:
    export_folder(source, out, format="coco")


def imported(source: Path, out: Path) -> None:
    import_folder(source, out)


WAYS = [split, split_and_joined, sampled, fixed, converted, imported]


@pytest.mark.parametrize("way", WAYS)
def test_it_stays_where_one_data_set_becomes_another(way: Any, farm: Path, tmp_path: Path) -> None:
    (before,) = ours(farm)
    way(farm, tmp_path / "out")
    found = ours(tmp_path / "out")
    assert found
    for said in found:
        assert {key: said[key] for key in KEYS} == {key: before[key] for key in KEYS}


def test_joined_data_sets_keep_it_of_each(farm: Path, barn: Path, tmp_path: Path) -> None:
    merge_folders([farm, barn], tmp_path / "both")
    (said,) = ours(tmp_path / "both")
    assert not {*KEYS} & {*said}  # neither work is that of the whole
    sources = said["merged"]
    assert [one["work"]["name"] for one in sources] == ["farm", "barnyard"]
    assert [one["effort"]["hours"] for one in sources] == [3.0, 5.5]
    assert [one["rounds"]["cat"]["round"] for one in sources] == [2, 2]
    assert [one["file"]["info"]["description"] for one in sources] == [
        "cats of farm",
        "cats of barnyard",
    ]
    assert [Path(one["from"]).parts[-3] for one in sources] == ["farm", "barn"]


def test_data_stats_tells_the_effort_of_each(farm: Path, barn: Path, tmp_path: Path) -> None:
    merge_folders([farm, barn], tmp_path / "both")
    merge_folders([tmp_path / "both", inspected(tmp_path / "c", "mill", 1.0)], tmp_path / "all")
    told = CliRunner().invoke(app, ["data", "stats", str(tmp_path / "all"), "--json"])
    (row,) = json.loads(told.stdout)["datasets"]
    assert {name: one["hours"] for name, one in row["efforts"].items()} == {
        "farm": 3.0,
        "barnyard": 5.5,
        "mill": 1.0,
    }
    assert row["effort"] is None
    text = CliRunner().invoke(app, ["data", "stats", str(tmp_path / "all"), "--all"]).stdout
    assert "effort of the whole work barnyard" in text
    assert "farm@x.org" in text


def test_a_format_that_has_no_place_for_it_is_told(
    farm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for format in ("pinpp", "prepared"):
        caplog.clear()
        export_folder(farm, tmp_path / format, format=format)
        assert f"{format} has no place for it: work, rounds, effort" in caplog.text
