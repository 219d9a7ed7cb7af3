"""What the page says of a picture: what the filter did and why, files, and calls that run."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from colour_segmenter import (
    COLOURS,
    INCLUSIONS,
    NAMES,
    ColourSegmenter,
    draw,
    tune_colour_run,
    write_colour_run,
)
from PIL import Image as PillowImage
from served import Running, serving
from typer.testing import CliRunner

from app.cli.main import app
from app.serve.source import Source
from app.web.pages.parts.answer import Answer, Ask, Looks, answer, own_thresholds, told_thresholds
from app.web.pages.parts.calls import Call, calls
from app.web.pages.parts.view import Made, coco_of, outline, page_of, table_of
from app.web.shelf import Known, LocalShelf, MountedShelf, ServerShelf
from app.web.shown import Shown
from partlab.coco import read_coco
from partlab.errors import ConfigError, UnknownNameError
from partlab.images import load_image
from partlab.masks import decode, from_segmentation
from partlab.parts import Parts
from segmenter.thresholds import Thresholds

PARTS = Parts.of(NAMES, INCLUSIONS)


@pytest.fixture
def segmenter() -> ColourSegmenter:
    return ColourSegmenter(PARTS, COLOURS)


def bike() -> np.ndarray:
    """One red square: a wheel, of a car or of a bike."""
    pixels = np.full((60, 80, 3), 120, np.uint8)
    pixels[20:40, 30:50] = COLOURS[0]
    return pixels


def of(segmenter: ColourSegmenter, **ask: object) -> Answer:
    return answer(segmenter, bike(), Ask("seg", **ask), Looks())  # type: ignore[arg-type]


def test_what_was_removed_because_nothing_else_is_likely_enough(
    segmenter: ColourSegmenter,
) -> None:
    found = of(segmenter, object="bike", threshold=0.5)
    assert found.filtered.masks == ()
    (change,) = found.removed
    assert change.mask.name == "car:wheel"
    assert change.why == (
        "is a part of car, and the picture shows bike; its likeliest part, bike:wheel, has 0.25 "
        "there, under its threshold of 0.50"
    )


def test_what_a_place_is_now_and_what_it_was_before(segmenter: ColourSegmenter) -> None:
    found = of(segmenter, object="bike", threshold=0.2)
    assert [mask.name for mask in found.filtered.masks] == ["bike:wheel"]
    assert found.removed[0].why.endswith("the place is now bike:wheel (0.25)")
    assert found.added[0].why == "without the filter this place is car:wheel (0.75)"


def test_where_no_part_of_the_object_was_likely_at_all(segmenter: ColourSegmenter) -> None:
    found = of(segmenter, object="cat", threshold=0.2)
    assert found.removed[0].why == (
        "is a part of car, and the picture shows cat; no part of cat was likely there at all"
    )


def test_what_both_ways_find_keeps_its_number(segmenter: ColourSegmenter) -> None:
    found = of(segmenter, object="car", threshold=0.5)
    assert (found.removed, found.added, found.twins) == ((), (), (0,))
    html = page_of(found, Made("a.png", "a.png"), Known("seg", "runs/seg", PARTS), Shown(), None)
    assert html.count('<path d="') == 2
    assert html.count('data-mark="1"') == 6  # two masks, two badges, row and button
    assert "Nothing: every mask found without the filter is of car." in html


def test_a_threshold_of_one_part(segmenter: ColourSegmenter) -> None:
    assert of(segmenter, object="bike", own={"bike:wheel": 0.2}).filtered.masks
    assert not of(segmenter, object="bike", own={"bike:wheel": 0.3}).filtered.masks
    with pytest.raises(UnknownNameError, match="bike:wheal"):
        of(segmenter, object="bike", own={"bike:wheal": 0.3})
    with pytest.raises(UnknownNameError, match="byke"):
        of(segmenter, object="byke")


def test_without_an_object_there_is_no_filter_and_no_comparison(segmenter: ColourSegmenter) -> None:
    found = of(segmenter)
    assert [mask.name for mask in found.filtered.masks] == ["car:wheel"]
    assert found.plain is None


def test_another_threshold_is_no_second_look(segmenter: ColourSegmenter) -> None:
    looks, asked = Looks(), []
    predict = segmenter.predict
    segmenter.predict = lambda *a, **k: asked.append(1) or predict(*a, **k)  # type: ignore
    for threshold in (0.2, 0.5, 0.9):
        answer(segmenter, bike(), Ask("seg", "car", threshold), looks)
    assert len(asked) == 2  # without and with the filter
    answer(segmenter, bike(), Ask("seg", "bike", threshold), looks)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("", {}),
        ("cat:ear=0.3", {"cat:ear": 0.3}),
        (" cat:ear = .3 ,\n a b:c=d=1, ", {"cat:ear": 0.3, "a b:c=d": 1.0}),
    ],
)
def test_own_thresholds_are_read_as_people_write_them(text: str, own: dict[str, float]) -> None:
    assert own_thresholds(text) == own
    assert own_thresholds(told_thresholds(own)) == own


@pytest.mark.parametrize("text", ["0.3", "cat:ear", "=0.3", "cat:ear=high"])
def test_what_is_no_threshold_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="is no threshold of a part"):
        own_thresholds(text)


def test_an_outline_is_the_mask_holes_and_all() -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:15, 4:25] = True
    mask[6:9, 10:14] = False
    mask[18, 29] = True
    assert np.array_equal(_filled(outline(mask), mask.shape), mask)


def _filled(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose middle lies inside, by the rule that svg calls evenodd."""
    from matplotlib.path import Path as Outline

    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    middles = np.stack([x.ravel(), y.ravel()], 1)
    inside = np.zeros(len(middles), bool)
    for step in path.strip("M").split("ZM"):
        points = [tuple(map(float, p.split(","))) for p in step.rstrip("Z").split()]
        if len(points) > 2:
            inside ^= Outline(points).contains_points(middles)
    return inside.reshape(shape)


def test_words_from_outside_are_only_words(segmenter: ColourSegmenter) -> None:
    html = page_of(
        of(segmenter, object="car"),
        Made("<img src=x onerror=alert(1)>.png", "a.png"),
        Known("seg", "<b>", PARTS),
        Shown(),
        None,
    )
    assert "<img src=x" not in html
    assert "<b>)" not in html
    ElementTree.fromstring(html.replace("draggable=\"false\">", "/>").replace("<br>", "")
                           .replace("data-made", "").replace("data-pointed ", "")
                           .replace(" data-gone", ""))  # fmt: skip


def test_the_file_that_is_saved_is_coco_with_the_exact_masks(
    segmenter: ColourSegmenter, tmp_path: Path
) -> None:
    found = of(segmenter, object="car")
    (tmp_path / "parts.json").write_bytes(coco_of(found, Made("ü.png", "ü.png")))
    data = read_coco(tmp_path / "parts.json")
    (image,), (record,) = data.images, data.annotations
    assert (image.file_name, image.width, image.height) == ("ü.png", 80, 60)
    assert data.names == NAMES
    rle = from_segmentation(record.segmentation, 60, 80)
    assert decode(rle).sum() == 400
    assert np.array_equal(decode(rle), decode(found.filtered.masks[0].rle))
    assert record.provenance == "pseudo:seg"
    assert record.score == pytest.approx(found.filtered.masks[0].score, abs=1e-6)


def test_the_picture_is_shown_in_every_pixel(segmenter: ColourSegmenter) -> None:
    """SV-17, also of a photo that is turned by its EXIF."""
    shown = Shown()
    made = Made("a.png", "a.png")
    html = page_of(of(segmenter, object="car"), made, Known("seg", "", PARTS), shown, None)
    address = html.split('<img src="')[1].split('"')[0]
    data = shown._kept[address.split("/")[1]]
    assert np.array_equal(np.asarray(PillowImage.open(__import__("io").BytesIO(data))), bike())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    draw(tmp_path / "a, cat's.png", "cat", 3, (80, 60))
    return tmp_path / "a, cat's.png"


OWN = Thresholds(default=0.3, parts={"cat:head": 0.9})  # kept with the run that the calls name
ASKS = [
    Ask("seg", "cat", 0.3),
    Ask("seg", None, 0.4),
    Ask("seg", "cat", 0.3, {"cat:ear": 0.9}),
    Ask("seg", "cat", 0.99, tuned=OWN),
    Ask("seg", "cat", 0.99, {"cat:ear": 0.4}, tuned=OWN),
    Ask("seg", "cat", 0.3, apart=True),
]


def same(found: Answer) -> list[tuple[str, int]]:
    return sorted((mask.name, mask.area) for mask in found.filtered.masks)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tune_colour_run(write_colour_run(tmp_path_factory.mktemp("runs") / "seg"), OWN)


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[Running]:
    with serving(Source.of_run(str(run))) as running:
        yield running


@pytest.mark.parametrize("ask", ASKS)
def test_the_calls_give_the_same_parts(
    run: Path, server: Running, photo: Path, ask: Ask, segmenter: ColourSegmenter
) -> None:
    wanted = same(answer(segmenter, load_image(photo), ask, Looks()))
    assert wanted
    for place, url in ((str(run), None), ("", server.url)):
        known = Known("seg", place, PARTS, served=url is not None)
        texts = dict(calls(Call(ask, str(photo), known, url)))
        assert by_python(texts["Python"]) == wanted
        if url:
            assert by_curl(texts["curl"]) == wanted
        else:
            assert texts["curl"].startswith(f"partlab serve seg={run}")


def test_what_a_tuning_left_is_known_here_and_of_a_server(run: Path, server: Running) -> None:
    assert LocalShelf({"seg": run}, {}).segmenters()["seg"].tuned == OWN
    assert ServerShelf(server.url).segmenters()["seg"].tuned == OWN
    assert MountedShelf(server.state.models).segmenters()["seg"].tuned == OWN


def by_python(text: str) -> list[tuple[str, int]]:
    path = str(Path(__file__).parents[3] / "plugins")
    program = f"import sys; sys.path.insert(0, {path!r}); import colour_segmenter\n{text}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(" ", 2) for line in done.stdout.splitlines()]
    return sorted((name, int(area)) for name, _, area in lines)


def by_curl(text: str) -> list[tuple[str, int]]:
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["answers"]
    return sorted((part["part"], part["area"]) for part in found["parts"])


@pytest.mark.parametrize("ask", ASKS[:5])
def test_the_command_line_gives_the_same_parts(
    run: Path, photo: Path, ask: Ask, segmenter: ColourSegmenter, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from pseudolabel.store import Store

    monkeypatch.chdir(tmp_path)
    text = dict(calls(Call(ask, str(photo), Known("seg", str(run), PARTS), None)))["Command line"]
    *first, last = text.replace("\\\n", " ").splitlines()
    for line in first:
        subprocess.run(["bash", "-c", line], check=True)
    done = CliRunner().invoke(app, [*shlex.split(last)[1:], "--device", "cpu"])
    assert done.exit_code == 0, done.output + done.stderr
    (row,) = Store.open(tmp_path / "pseudo").rows()
    wanted = same(answer(segmenter, load_image(photo), ask, Looks()))
    assert sorted((NAMES[mask.label], mask.area) for mask in row.masks) == wanted


def test_the_table_for_programs_is_json(segmenter: ColourSegmenter) -> None:
    told = json.loads(json.dumps(table_of(of(segmenter, object="bike", threshold=0.2))))
    assert told["parts"][0]["part"] == "bike:wheel"
    assert told["removed_by_filter"][0]["part"] == "car:wheel"
    assert told["added_by_filter"][0]["why"]
