"""What the server answers about a picture is what the segmenter answers in this process."""

import base64
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import draw, write_colour_run
from PIL import Image as PillowImage
from served import PacedSegmenter, Running, drawing, grey, png, serving, source_of

from app.serve.answers import DetectAnswer, ModelAnswer, SegmentAnswer
from app.serve.source import Source
from partlab.images import load_image
from partlab.masks import decode
from segmenter.predictor import PredictionSettings, Predictor
from segmenter.remote import connect
from segmenter.runs import load_segmenter


def parts_of(answer: dict, at: int = 0) -> list[tuple]:
    found = answer["answers"][at]["parts"]
    return [(p["part"], p["score"], p["area"], tuple(p["box"]), p["mask"]) for p in found]


def in_process(run: Path, pixels, objects, threshold, unite=True) -> list[tuple]:
    predictor = Predictor.load(run, PredictionSettings(unite=unite))
    masks = predictor(pixels, objects, thresholds=threshold).masks
    return [(m.name, m.score, m.area, m.bbox, m.rle) for m in masks]


@pytest.mark.parametrize("object", ["cat", "car", None])
@pytest.mark.parametrize("unite", [True, False])
def test_masks_equal_those_of_this_process(
    server: Running, colour_run: Path, tmp_path: Path, object: str | None, unite: bool
) -> None:
    data = drawing(tmp_path, object or "bike", seed=5)
    pixels = load_image(data)
    query = {"threshold": [0.2, 0.6], "unite": unite} | ({"object": object} if object else {})
    answer = server.post("/v1/segment", data, params=query).json()
    SegmentAnswer.model_validate(answer)
    for at, threshold in enumerate((0.2, 0.6)):
        expected = in_process(colour_run, pixels, object, threshold, unite)
        assert parts_of(answer, at) == expected
    assert parts_of(answer)
    assert (answer["height"], answer["width"]) == pixels.shape[:2]


def test_json_asks_the_same_as_a_body_and_takes_thresholds_by_part(
    server: Running, tmp_path: Path
) -> None:
    data = drawing(tmp_path, "car", seed=3)
    asked = {"image": base64.b64encode(data).decode(), "object": "car", "threshold": 0.2}
    by_json = server.client.post("/v1/segment", json=asked).json()
    by_body = server.post("/v1/segment?object=car&threshold=0.2", data).json()
    assert by_json == by_body
    asked["threshold"] = [{"car:wheel": 0.0, "car:body": 1.0}]
    only = server.client.post("/v1/segment", json=asked).json()
    assert {part["part"] for part in only["answers"][0]["parts"]} == {"car:wheel"}


def test_without_the_filter_parts_of_other_objects_are_found(
    server: Running, tmp_path: Path
) -> None:
    """A wheel of a bike looks like a car's: only the filter tells them apart."""
    data = drawing(tmp_path, "bike", seed=2)
    names = {}
    for wanted in ("true", "false"):
        query = f"object=bike&threshold=0.01&category_filter={wanted}"
        answer = server.post(f"/v1/segment?{query}", data).json()
        names[wanted] = {part["part"] for part in answer["answers"][0]["parts"]}
        assert answer["filtered_to"] == (["bike"] if wanted == "true" else [])
    assert names["true"] == {"bike:wheel"}
    assert "car:wheel" in names["false"]


def test_masks_come_as_pictures_too_or_not_at_all(server: Running, tmp_path: Path) -> None:
    data = drawing(tmp_path, "cat")
    path = "/v1/segment?object=cat&threshold=0.2&mask="
    both = [server.post(path + how, data).json()["answers"][0]["parts"] for how in ("rle", "png")]
    for rle, picture in zip(*both, strict=True):
        drawn = np.array(PillowImage.open(BytesIO(base64.b64decode(picture["png"]))))
        assert (drawn == decode(rle["mask"])).all()
    bare = server.post(path + "none", data).json()["answers"][0]["parts"]
    assert bare
    assert all(part["mask"] is None and part["png"] is None for part in bare)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_turned_photo_is_seen_as_people_see_it(
    server: Running, colour_run: Path, tmp_path: Path, turned: int
) -> None:
    """SV-09: masks have the size of the displayed picture."""
    pixels = draw(tmp_path / "a.png", "car", 4)
    exif = PillowImage.Exif()
    exif[0x0112] = turned
    PillowImage.fromarray(pixels).save(tmp_path / "b.png", exif=exif)
    shown = load_image(tmp_path / "b.png")
    answer = server.post(
        "/v1/segment?object=car&threshold=0.2", (tmp_path / "b.png").read_bytes()
    ).json()
    assert (answer["height"], answer["width"]) == shown.shape[:2]
    assert parts_of(answer) == in_process(colour_run, shown, "car", 0.2)


def test_detections_come_bit_for_bit(server: Running, colour_run: Path, tmp_path: Path) -> None:
    pixels = draw(tmp_path / "a.png", "cat", 6)
    here = load_segmenter(colour_run)
    remote = connect(server.url).load("best", None)
    assert remote.names == here.names
    assert remote.parts.inclusions == here.parts.inclusions
    for objects in (["cat"], [("cat", "car")], [None], [()], None):
        for threshold in (None, 0.3):
            mine = here.predict([pixels], objects, threshold=threshold)[0]
            theirs = remote.predict([pixels], objects, threshold=threshold)[0]
            for name in ("boxes", "labels", "scores", "probabilities"):
                one, other = getattr(mine, name), getattr(theirs, name)
                assert one.dtype == other.dtype
                assert (one == other).all(), name
                assert one.shape == other.shape
            assert mine.masks == theirs.masks
    body = server.post("/v1/detect?object=cat", png(pixels)).json()
    DetectAnswer.model_validate(body)


def test_several_models_by_name_and_version(colour_run: Path, tmp_path: Path) -> None:
    other = write_colour_run(
        tmp_path / "other", ("cat:head",), np.array([(30, 30, 200)], np.float32), {}
    )
    sources = [Source.of_run(f"{name}={run}") for name, run in
               (("seg", other), ("seg", colour_run), ("small", other))]  # fmt: skip
    with serving(*sources) as server:
        listed = server.client.get("/v1/models").json()["models"]
        assert [each["name"] for each in listed] == ["seg", "seg", "small"]
        first, second = (f"seg@{each['version']}" for each in listed[:2])
        assert first != second
        sizes = {
            name: len(server.client.get(f"/v1/models/{name}").json()["parts"])
            for name in (first, second, "seg", "small")
        }
        assert sizes == {first: 1, second: 5, "seg": 5, "small": 1}
        ModelAnswer.model_validate(server.client.get("/v1/models/seg").json())
        data = drawing(tmp_path, "cat")
        for name in (first, second):
            answer = server.post(f"/v1/segment?model={name}", data).json()
            assert f"{answer['model']['name']}@{answer['model']['version']}" == name
        unnamed = server.post("/v1/segment", data)
        assert unnamed.status_code == 422
        assert "seg, small" in unnamed.json()["error"]["hint"]


def test_the_description_has_every_route_and_its_examples_are_answered(server: Running) -> None:
    told = server.client.get("/openapi.json").json()
    assert {"/health", "/ready", "/v1/segment", "/v1/attack", "/v1/jobs"} <= told["paths"].keys()
    body = told["paths"]["/v1/segment"]["post"]["requestBody"]["content"]["application/json"]
    answer = server.client.post("/v1/segment", json=body["example"])
    assert answer.status_code == 200, answer.text
    unknown = {*body["example"]} - {*body["schema"]["properties"]}
    assert not unknown


def test_a_repeated_request_is_answered_without_looking_again(tmp_path: Path) -> None:
    paced = PacedSegmenter()
    with serving(source_of(paced)) as server:
        data, key = drawing(tmp_path), {"Idempotency-Key": "one"}
        first = server.post("/v1/segment?object=cat", data, headers=key)
        looks = len(paced.batches)
        again = server.post("/v1/segment?object=cat", data, headers=key)
        assert again.content == first.content
        assert again.headers["Idempotency-Replayed"] == "true"
        assert len(paced.batches) == looks
        other = server.post("/v1/segment?object=car", data, headers=key)
        assert other.status_code == 422
        assert "another request" in other.json()["error"]["cause"]
        text = server.client.get("/metrics").text
        assert "partlab_cache_hits_total 1.0" in text
        assert f'partlab_cache_bytes{{cache="answers"}} {float(len(first.content))}' in text


def test_kept_answers_never_have_more_bytes_than_allowed() -> None:
    with serving(source_of(PacedSegmenter()), repeats_bytes=1000) as server:
        for number in range(20):
            answer = server.post("/v1/segment", grey(), headers={"Idempotency-Key": str(number)})
            assert answer.status_code == 200
            assert 0 < server.state.repeats.size <= 1000


def test_ready_only_after_a_real_prediction() -> None:
    """SV-13; `/health` answers meanwhile."""
    paced = PacedSegmenter(batch=1.5)
    with serving(source_of(paced), ready=False) as server:
        assert server.client.get("/health").json()["ready"] is False
        waiting = server.client.get("/ready")
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (503, "2")
        early = server.post("/v1/segment", grey())
        assert early.status_code == 503
        assert int(early.headers["Retry-After"]) > 0
        while server.client.get("/ready").status_code == 503:
            time.sleep(0.05)
        assert paced.batches == [1]
        assert server.post("/v1/segment", grey()).status_code == 200
