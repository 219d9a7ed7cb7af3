"""What a real Label Studio 1.23.2 sent, as it was captured, is answered as it wants it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sam
from colour_segmenter import COLOURS, NAMES
from PIL import Image as PillowImage
from served import PacedSegmenter, Running, serving, source_of

from annotate.studio.spelling.codec import decode_brush
from partlab.masks import BoolMask

PAYLOADS = Path(__file__).parents[5] / "shared" / "data" / "labelstudio-payloads"
SIZE = (500, 375)
HEAD = (200, 100, 320, 220)  # about the captured click and inside the captured box, or near it
BOX = (155, 116, 250, 187)


@pytest.fixture
def captured() -> Any:
    if not PAYLOADS.is_dir():
        pytest.skip(f"no captured requests in {PAYLOADS}")
    return lambda name: json.loads((PAYLOADS / f"{name}.json").read_text())


@pytest.fixture
def goats(tmp_path: Path) -> Path:
    """Local files with the goats of the captured requests, each with a head."""
    for number, box in ((0, HEAD), (1, HEAD), (201, BOX)):
        picture = PillowImage.new("RGB", SIZE, (120, 120, 120))
        picture.paste(tuple(int(c) for c in COLOURS[NAMES.index("cat:head")]), box)
        path = tmp_path / "goat" / f"{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, "PNG")
    return tmp_path


@pytest.fixture
def server(goats: Path) -> Any:
    with serving(source_of(PacedSegmenter()), help={"pictures": [str(goats)]}) as running:
        yield running


def send(server: Running, request: dict[str, Any]) -> Any:
    answer = server.client.request(
        request["method"],
        request["path"],
        headers={"user-agent": request["headers"]["user-agent"]},
        **({} if request["body"] is None else {"json": request["body"]}),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def mask_of(item: dict[str, Any]) -> BoolMask:
    assert (item["original_width"], item["original_height"]) == SIZE
    return decode_brush(item["value"]["rle"], SIZE[1], SIZE[0])


def rectangle(box: tuple[int, int, int, int]) -> BoolMask:
    mask = np.zeros(SIZE[::-1], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def test_health_setup_and_versions(captured: Any, server: Running) -> None:
    assert send(server, captured("ml_health"))["status"] == "UP"
    version = send(server, captured("ml_setup"))["model_version"]
    assert version.startswith("seg@")
    assert send(server, captured("ml_versions")) == {"versions": [version]}


def test_suggestions_for_several_tasks(captured: Any, server: Running) -> None:
    request = captured("ml_predict")
    results = send(server, request)["results"]
    assert len(results) == len(request["body"]["tasks"]) == 2
    for result in results:
        assert result["model_version"].startswith("seg@")
        assert 0.9 < result["score"] <= 1
        (region,) = result["result"]
        assert (region["from_name"], region["to_name"]) == ("brush", "image")
        assert region["type"] == "brushlabels"
        assert region["value"]["brushlabels"] == ["head"]
        assert isinstance(region["id"], str)
        assert (mask_of(region) == rectangle(HEAD)).all()


@pytest.mark.parametrize(("prompt", "box"), [("keypoint", HEAD), ("rectangle", BOX)])
def test_a_click_and_a_box_are_answered_with_the_part(
    captured: Any, server: Running, prompt: str, box: tuple[int, int, int, int]
) -> None:
    request = captured(f"ml_predict_interactive_{prompt}labels")
    (result,) = send(server, request)["results"]
    (region,) = result["result"]
    assert region["value"]["brushlabels"] == ["head"]
    assert region["id"] != request["body"]["params"]["context"]["result"][0]["id"]
    assert (mask_of(region) == rectangle(box)).all()


def test_a_click_and_a_box_are_answered_by_sam(captured: Any, goats: Path, tmp_path: Path) -> None:
    """Its masks say nothing (its weights are random), but whose they are and that they obey."""
    pytest.importorskip("transformers")
    folder = tiny_sam.sam2(tmp_path / "sam2-tiny")
    about = {"pictures": [str(goats)], "sam": folder, "sam_device": "cpu"}
    with serving(source_of(PacedSegmenter()), help=about) as server:
        called = server.client.get("/v1/models/seg").json()["clicks"]
        assert called.startswith("sam2-tiny@")
        for prompt in ("keypoint", "rectangle"):
            request = captured(f"ml_predict_interactive_{prompt}labels")
            (result,) = send(server, request)["results"]
            (region,) = result["result"]
            assert region["value"]["brushlabels"] == ["head"]
            assert result["model_version"] == region["meta"]["model"] == called
            mask = mask_of(region)
            if prompt == "keypoint":
                click = request["body"]["params"]["context"]["result"][0]["value"]
                assert mask[int(click["y"] / 100 * SIZE[1]), int(click["x"] / 100 * SIZE[0])]
        (suggested, _) = send(server, captured("ml_predict"))["results"]
        assert suggested["model_version"].startswith("seg@")  # these are the segmenter's
        (line,) = [
            line
            for line in server.client.get("/metrics").text.splitlines()
            if line.startswith("partlab_look_cache_misses_total")
        ]
        assert f'model="{called}"' in line


def test_a_picture_that_is_not_to_be_had_gives_a_valid_answer(
    captured: Any, server: Running
) -> None:
    for name, nothing in (("ml_predict", []), ("ml_predict_interactive_keypointlabels", None)):
        request = captured(name)
        for task in request["body"]["tasks"]:
            task["data"]["image"] = "/data/local-files/?d=goat/nowhere.jpg"
        results = send(server, request)["results"]
        expected = {"result": []} if nothing is None else nothing
        assert results == [expected] * len(request["body"]["tasks"])


@pytest.mark.parametrize(
    "name",
    [
        "webhook_start_training",
        "webhook_annotation_created",
        "webhook_annotation_updated",
        "webhook_annotations_deleted",
        "webhook_project_updated",
    ],
)
def test_events_are_taken_note_of(captured: Any, server: Running, name: str) -> None:
    request = captured(name)
    assert send(server, request) == {"action": request["body"]["action"]}
