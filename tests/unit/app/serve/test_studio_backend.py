"""Help for annotators: what is answered, to whom, from which pictures, and in time."""

import base64
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import farm
import numpy as np
import pytest
from labelling import (
    CAT,
    EAR,
    HEAD,
    PROJECT,
    SIZE,
    PictureServer,
    box,
    cat_picture,
    click,
    interface,
    picture_server,
    predict,
    setup,
    task,
)
from PIL import Image as PillowImage
from served import PacedSegmenter, Running, grey, serving, source_of

from annotate.studio.spelling.reading import read_result
from app.serve.keys import add_key
from app.serve.loop_of import LoopOf
from app.serve.settings import ServeSettings
from app.serve.source import Source
from partlab.masks import BoolMask, decode

LOCAL = "/data/local-files/?d="


def rectangle(place: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> BoolMask:
    mask = np.zeros(size[::-1], bool)
    mask[place[1] : place[3], place[0] : place[2]] = True
    return mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Label Studio serves as local files, as this server sees it."""
    found = tmp_path_factory.mktemp("files")
    cat_picture(found / "cats" / "größe & 1.png")
    (found / "grey.png").write_bytes(grey(13, (40, 60)))
    (found / "text.png").write_text("no picture")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with serving(source_of(PacedSegmenter()), help={"pictures": [str(folder)]}) as running:
        yield running


@pytest.fixture
def studio() -> Iterator[PictureServer]:
    with picture_server() as running:
        yield running


CAT_1 = task(f"{LOCAL}cats/gr%C3%B6%C3%9Fe%20%26%201.png")


def ask(server: Running, *items: Any, of: Any = CAT_1, xml: str | None = None) -> Any:
    """The answer to clicks or a box."""
    answer = server.client.post("/predict", json=predict(of, context={"result": items}, xml=xml))
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    return result


def read(result: Any, size: tuple[int, int] = SIZE) -> dict[str, tuple[BoolMask, str, str | None]]:
    """What `studio pull` would understand, by part id."""
    reading = read_result(result["result"], CAT, size, size, min_pixels=1)
    assert reading.problems == ()
    return {each.part: (decode(each.rle), each.origin, each.model) for each in reading.masks}


def test_a_click_gives_the_part_as_pull_reads_it(server: Running) -> None:
    answer = ask(server, click(20, 20))
    ((part, (mask, origin, model)),) = read(answer).items()
    assert (part, origin) == ("h", "prediction")
    assert model == answer["model_version"] == server.client.get("/versions").json()["versions"][0]
    assert (mask == rectangle(HEAD)).all()
    assert all(isinstance(item["id"], str) for item in answer["result"])


def test_a_box_gives_the_part_in_it(server: Running) -> None:
    answer = read(ask(server, box(EAR[0] - 1, EAR[1] - 1, EAR[2] + 1, EAR[3] + 1, "ear")))
    assert list(answer) == ["ear"]
    assert (answer["ear"][0] == rectangle(EAR)).all()


def test_further_clicks_change_the_same_region(server: Running) -> None:
    first = ask(server, click(20, 20))
    second = ask(server, click(20, 20), click(28, 28, positive=False, id="k2"))
    assert {item["id"] for item in first["result"]} == {item["id"] for item in second["result"]}
    (mask, _, _) = read(second)["h"]
    assert mask[20, 20]
    assert not mask[28, 28]


def test_without_a_part_the_model_names_it(server: Running) -> None:
    assert list(read(ask(server, click(16, 5, None)))) == ["ear"]


def test_clicks_on_nothing_and_things_of_no_use_give_an_empty_answer(server: Running) -> None:
    broken = click(20, 20)
    broken["value"] = {"x": "left", "y": None}
    turned = {**click(20, 20), "original_width": SIZE[1], "original_height": SIZE[0]}
    for items in ([click(55, 35)], [], [broken], [turned], [{"type": "choices"}], [click(9e9, 1)]):
        assert ask(server, *items) == {"result": []}
    for context in ({}, {"result": None}, {"result": "k"}, {"result": [None, 7]}, [], "x"):
        answer = server.client.post("/predict", json=predict(CAT_1, context=context)).json()
        assert answer == {"results": [{"result": []}]}


def test_suggestions_come_in_the_order_of_tasks_and_faults_cost_no_others(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = [
        CAT_1,
        task(f"{LOCAL}grey.png", 2),
        task(f"{LOCAL}nowhere.png", 3),
        task(f"{LOCAL}text.png", 4),
        {"id": 5, "data": {"partlab": "w"}},
        {**CAT_1, "id": 6},
    ]
    results = server.client.post("/predict", json=predict(*tasks)).json()["results"]
    assert [bool(each) for each in results] == [True, False, False, False, False, True]
    for each in (results[0], results[-1]):
        masks = read(each)
        assert sorted(masks) == ["ear", "h"]
        assert (masks["h"][0] == rectangle(HEAD)).all()
    said = [r.getMessage() for r in caplog.records if "no help for task" in r.getMessage()]
    assert [int(words.split("task ")[1].split()[0]) for words in sorted(said)] == [2, 3, 4, 5]
    assert "the model failed: RuntimeError" in "".join(said)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"help": False}, "forbids model help (D-05)"),
        ({"help": None}, "it was not connected"),
        ({"kind": "inspect"}, "nothing is drawn in it"),
    ],
)
def test_who_is_to_get_no_help_gets_none(
    server: Running, facts: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    xml = interface(**facts)
    assert ask(server, click(20, 20), xml=xml) == {"result": []}
    answer = server.client.post("/predict", json=predict(CAT_1, CAT_1, xml=xml)).json()
    assert answer == {"results": [[], []]}
    said = [r.getMessage() for r in caplog.records if "answers nothing" in r.getMessage()]
    assert len(said) == 2
    assert why in said[0]


def test_a_project_of_ours_whose_facts_were_taken_out_gets_none(server: Running) -> None:
    import re

    bare = re.sub("<!--.*?-->", "", interface())
    assert ask(server, click(20, 20), xml=bare) == {"result": []}
    foreign = {"id": 1, "data": {"image": CAT_1["data"]["image"]}}
    assert read(ask(server, click(20, 20), xml=bare, of=foreign))  # somebody else's project


def test_only_parts_of_the_connected_object_are_found(server: Running) -> None:
    """The project's own word counts, not the task's."""
    data = {**CAT_1["data"], "object": "car"}
    assert read(ask(server, click(20, 20), of={"id": 1, "data": data}))
    assert ask(server, click(20, 20, None), xml=interface(help="car")) == {"result": []}


# -- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_photographs_are_answered_as_people_see_them(
    server: Running, folder: Path, orientation: int
) -> None:
    """SV-09."""
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    upright = PillowImage.open(folder / "cats" / "größe & 1.png").convert("RGB")
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose methods
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    name = f"turned {orientation}.png"
    stored.save(folder / name, exif=exif)
    answer = read(ask(server, click(20, 20), of=task(f"{LOCAL}{name}")))
    assert (answer["h"][0] == rectangle(HEAD)).all()


@pytest.mark.parametrize("own", [False, True])
def test_uploaded_pictures_are_fetched_with_the_token(
    studio: PictureServer, tmp_path: Path, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SV-01, SV-02: the token that Label Studio hands out, or one of the server's own."""
    studio.answers["/data/upload/7/cat.png"] = cat_picture(tmp_path / "cat.png").read_bytes()
    studio.token = "legacy-token"
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "legacy-token")
    given = {"help": {"studio": studio.url}} if own else {}
    with serving(source_of(PacedSegmenter()), **given) as server:
        handed = "worth-nothing" if own else "legacy-token"
        elsewhere = "http://label-studio.example" if own else studio.url
        answer = server.client.post("/setup", json=setup(elsewhere, handed))
        assert answer.json() == {
            "model_version": server.client.get("/versions").json()["versions"][0]
        }
        assert read(ask(server, click(20, 20), of=task("/data/upload/7/cat.png")))
        assert read(ask(server, click(20, 20), of=task(f"{studio.url}/data/upload/7/cat.png")))


def test_a_personal_token_is_renewed_when_it_ends(
    studio: PictureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.answers["/data/upload/7/cat.png"] = cat_picture(tmp_path / "cat.png").read_bytes()
    studio.token, studio.uses = "none", 2
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "eyJhIjowfQ.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.x")
    with serving(source_of(PacedSegmenter()), help={"studio": studio.url}) as server:
        for _ in range(5):  # Label Studio never set us up: its address and our token will do
            assert read(ask(server, click(20, 20), of=task("/data/upload/7/cat.png")))
    assert studio.given == 3


def test_a_token_that_is_refused_names_the_setting(
    studio: PictureServer, caplog: pytest.LogCaptureFixture
) -> None:
    studio.token = "another"
    with serving(source_of(PacedSegmenter())) as server:
        server.client.post("/setup", json=setup(studio.url, "worth-nothing"))
        query = {"image": "/data/upload/7/cat.png", "project": PROJECT}
        answer = server.client.get("/studio/seg/picture", params=query)
        assert answer.status_code == 422
        told = answer.json()["error"]
        assert "does not let this server see its pictures" in told["cause"]
        assert "legacy tokens" in told["hint"]
        assert "PARTLAB_STUDIO_TOKEN" in told["hint"]
        assert ask(server, click(20, 20), of=task("/data/upload/7/cat.png")) == {"result": []}
    own = "".join(r.getMessage() for r in caplog.records if r.name.startswith(("app", "partlab")))
    assert "worth-nothing" not in own


def test_pictures_of_a_web_server_come_from_the_one_that_was_named(
    studio: PictureServer, tmp_path: Path
) -> None:
    studio.answers["/cats/1.png"] = cat_picture(tmp_path / "cat.png").read_bytes()
    with serving(source_of(PacedSegmenter()), help={"pictures": [f"{studio.url}/cats"]}) as server:
        assert read(ask(server, click(20, 20), of=task(f"{studio.url}/cats/1.png")))
    assert studio.asked == [("/cats/1.png", "")]  # without a token


def test_nothing_else_is_asked_for(studio: PictureServer, tmp_path: Path) -> None:
    """Whoever may ask this server cannot make it ask others, or read its files."""
    picture = cat_picture(tmp_path / "cat.png").read_bytes()
    host = studio.url.removeprefix("http://")
    paths = ("/cats/1.png", "/secret.png", "/cats/../secret.png", "/cats-2/1.png")
    studio.answers = dict.fromkeys(paths, picture) | {"/cats/moved.png": f"{studio.url}/secret.png"}
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "link.png").symlink_to(tmp_path / "cat.png")
    refused = [
        f"{studio.url}/secret.png",
        f"{studio.url}/cats/../secret.png",
        f"{studio.url}/cats/%2e%2e/secret.png",
        f"{studio.url}/cats-2/1.png",
        f"http://user:pass@{host}/cats/1.png",
        f"http://{host.replace('127.0.0.1', 'localhost')}/cats/1.png",
        f"//{host}/cats/1.png",
        f"/\\{host}/cats/1.png",
        f"file://{tmp_path}/cat.png",
        str(tmp_path / "cat.png"),
        f"{LOCAL}../cat.png",
        f"{LOCAL}{tmp_path}/cat.png",
        f"{LOCAL}link.png",
        "s3://bucket/cat.png",
        "http://[::1",
        "\x00",
        "http://127.0.0.1:1/x.png",
        "",
    ]
    reach = [str(tmp_path / "shared"), f"{studio.url}/cats"]
    with serving(source_of(PacedSegmenter()), help={"pictures": reach}) as server:
        for home in ("http://127.0.0.1:1", "http://example.org"):  # this machine's, and not
            server.client.post("/setup", json=setup(home))
            for address in refused:
                assert ask(server, click(20, 20), of=task(address)) == {"result": []}, address
        assert studio.asked == []
        assert ask(server, click(20, 20), of=task(f"{studio.url}/cats/moved.png")) == {"result": []}
        assert [path for path, _ in studio.asked] == ["/cats/moved.png"]
        query = {"image": "/data/upload/1.png", "project": PROJECT}
        told = server.client.get("/studio/seg/picture", params=query).json()["error"]
        assert "http://example.org" in told["cause"]
        assert "--studio" in told["hint"]


def test_a_picture_has_its_limits(studio: PictureServer) -> None:
    studio.answers = {
        "/p/long.png": b"\x89PNG" + bytes(3_000_000),
        "/p/wide.png": grey(9, (40, 600)),
    }
    limits = {"body_bytes": 1_000_000, "picture_pixels": 20_000}
    with serving(source_of(PacedSegmenter()), help={"pictures": [studio.url]}, **limits) as server:
        for name, words in (("long", "more than 1,000,000 bytes"), ("wide", "24,000 pixels")):
            query = {"image": f"{studio.url}/p/{name}.png"}
            told = server.client.get("/studio/seg/picture", params=query).json()["error"]
            assert words in told["cause"]


# -- time, keys, events -----------------------------------------------------------------------


def test_an_answer_that_takes_too_long_is_empty_and_health_is_told_meanwhile(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SV-04, SV-06."""
    slow, limits = PacedSegmenter(each=3.0), {"pictures": [str(folder)], "deadline_s": 0.5}
    with serving(source_of(slow), help=limits) as server, ThreadPoolExecutor(2) as threads:
        began = time.monotonic()
        late = threads.submit(ask, server, click(20, 20))
        time.sleep(0.2)
        for path in ("/health", "/studio/seg/health"):
            asked = time.monotonic()
            assert server.client.get(path).json()["status"] == "UP"
            assert time.monotonic() - asked < 1
        assert late.result() == {"result": []}
        assert time.monotonic() - began < 2.5
    assert "it took too long" in caplog.text


def test_a_second_click_needs_no_second_look(folder: Path) -> None:
    segmenter = PacedSegmenter()
    with serving(source_of(segmenter), help={"pictures": [str(folder)]}) as server:
        before = len(segmenter.batches)
        for x in (15, 18, 21):
            assert read(ask(server, click(x, 20)))
        assert len(segmenter.batches) == before + 1
        text = server.client.get("/metrics").text
        (model,) = server.client.get("/versions").json()["versions"]
        assert f'partlab_look_cache_hits_total{{model="{model}"}} 2.0' in text
        assert f'partlab_look_cache_misses_total{{model="{model}"}} 1.0' in text
        assert f'partlab_cache_bytes{{cache="looks of {model}"}}' in text


def test_keys_are_asked_for_and_may_be_a_password(folder: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "label studio", "read")
    body = predict(CAT_1, context={"result": [click(20, 20)]})
    shared = {"help": {"pictures": [str(folder)]}, "keys": tmp_path / "keys.json"}
    with serving(source_of(PacedSegmenter()), **shared) as server:

        def status(auth: Any, path: str = "/studio/seg/predict") -> int:
            return server.client.post(path, json=body, auth=auth).status_code

        assert status(("partlab", key)) == 200
        assert status(("anybody", key), "/predict") == 200
        for wrong in (None, ("partlab", ""), ("partlab", key + "x"), (key, "partlab")):
            assert status(wrong) == 401
        for odd in ("Basic", "Basic !!!", f"Basic {base64.b64encode(b'x').decode()}", "Basic =="):
            answer = server.client.post("/predict", json=body, headers={"Authorization": odd})
            assert answer.status_code == 401
        for path in ("/setup", "/webhook"):
            assert server.client.post(path, json={}).status_code == 401
        assert server.client.get("/studio/seg/picture?image=x").status_code == 401
        assert server.client.get("/studio/seg/health").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {}),
        ("/predict", {"tasks": 3}),
        ("/predict", {"tasks": [{"data": {}}]}),
        ("/predict", {"tasks": [None]}),
        ("/predict", []),
        ("/setup", {}),
        ("/webhook", []),
        ("/webhook", {"action": 7}),
    ],
)
def test_what_label_studio_would_not_send_is_refused_in_words(
    server: Running, path: str, body: Any
) -> None:
    answer = server.client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["cause"]


def test_an_interface_without_a_place_for_masks_gets_nothing(server: Running) -> None:
    for xml in ("", "<View", "<View/>", '<View><Text name="t" value="$t"/></View>'):
        foreign = {"id": 1, "data": {"image": CAT_1["data"]["image"]}}
        assert ask(server, click(20, 20), of=foreign, xml=xml) == {"result": []}


class _LoopOfTests(LoopOf):
    """A work's loop that serves a model which nobody trained."""

    def __call__(self, name: str, settings: ServeSettings, told: Any) -> Any:
        return source_of(PacedSegmenter(), name).load(name, settings, told)


def heard(caplog: pytest.LogCaptureFixture, words: str) -> None:
    until = time.monotonic() + 20
    while words not in caplog.text:
        assert time.monotonic() < until, caplog.text
        time.sleep(0.02)


def test_training_that_is_asked_for_is_that_of_the_works_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SV-08: nothing is accepted yet, so the loop itself says no; others are told what to do."""
    with farm.start(tmp_path / "work") as work:
        id = work.settings.id
    loop = Source("farm", _LoopOfTests(tmp_path / "work", None))
    key = {role: add_key(tmp_path / "keys.json", role, role) for role in ("read", "admin")}
    with serving(loop, keys=tmp_path / "keys.json") as server:

        def press(role: str, work: str) -> None:
            project = {"id": 6, "label_config": interface(work=work)}
            body = {"action": "START_TRAINING", "project": project}
            answer = server.client.post("/webhook", json=body, auth=("x", key[role]))
            assert answer.status_code == 200

        press("read", id)
        heard(caplog, "this needs admin")
        press("admin", "another")
        heard(caplog, "the project does not belong to")
        press("admin", id)
        heard(caplog, "no training for project 6: no picture is accepted yet")


def test_events_are_answered_at_once_and_a_model_without_a_loop_says_so(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """SV-08."""
    for action in ("ANNOTATION_CREATED", "SOMETHING_NEW", ""):
        answer = server.client.post("/webhook", json={"action": action, "project": {"id": 6}})
        assert answer.status_code == 200
    assert "training" not in caplog.text
    project = {"id": 6, "label_config": interface()}
    server.client.post("/studio/seg/webhook", json={"action": "START_TRAINING", "project": project})
    heard(caplog, "partlab loop start WORK")


def test_each_segmenter_has_an_address_of_its_own(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sources = [source_of(PacedSegmenter(), name) for name in ("one", "two")]
    with serving(*sources, help={"pictures": [str(folder)]}) as server:
        body = predict(CAT_1, context={"result": [click(20, 20)]})
        for name in ("one", "two"):
            (answer,) = server.client.post(f"/studio/{name}/predict", json=body).json()["results"]
            assert answer["model_version"].startswith(f"{name}@")
        told = server.client.post("/predict", json=body).json()["error"]
        assert "several models are served" in told["cause"]
        for path in ("/studio/three/health", "/studio/three/versions"):
            answer = server.client.get(path)
            assert answer.status_code == 404
            assert "three" in answer.json()["error"]["cause"]
