"""Model help on a real Label Studio: connected, answered, looked over, and taken away again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from annotator import Person
from colour_segmenter import COLOURS, NAMES
from labelling import cat_picture, picture_server
from PIL import Image as PillowImage
from served import PacedSegmenter, serving, source_of
from served import Running as Served
from typer.testing import CliRunner

from annotate.inspect.provenance import Provenance
from annotate.studio.api.client import Studio
from annotate.studio.server.start import Running
from annotate.studio.spelling.codec import decode_brush
from annotate.studio.spelling.mark import mark_of
from annotate.studio.spelling.reading import read_result
from annotate.vocabulary import ObjectParts, Part, Vocabulary, write_vocabulary
from annotate.vocabulary.edit import rename_part
from annotate.work import Work
from app.cli.main import app
from app.serve.keys import add_key
from partlab.masks import decode

CAT = ObjectParts(
    name="kitten", aliases=("cat",), parts=(Part(id="h", name="head"), Part(id="ear", name="ear"))
)
SIZE = (60, 40)
HEAD, EAR = (10, 10, 30, 30), (12, 2, 20, 8)
EMAIL = "gil@x.org"


def run(*words: object) -> tuple[int, Any, str]:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    told = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    return done.exit_code, told, done.stderr


def partlab(*words: object) -> Any:
    code, told, words_said = run(*words)
    assert code == 0, f"{words}\n{words_said}"
    return told


@pytest.fixture
def server(studio_server: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    return studio_server


@pytest.fixture
def model() -> Iterator[Served]:
    with serving(source_of(PacedSegmenter())) as running:
        yield running


def begin(folder: Path, *more: object, email: str = EMAIL) -> tuple[Path, str]:
    """Kittens, which the segmenter calls cats; the work's folder and the annotator's password."""
    write_vocabulary(folder / "vocabulary.yaml", Vocabulary(name="farm", objects=(CAT,)))
    (folder / "photos" / "kitten").mkdir(parents=True)
    for number in range(2):
        picture = PillowImage.new("RGB", SIZE, (120, 120, 120 + number))
        for part, box in (("cat:head", HEAD), ("cat:ear", EAR)):
            picture.paste(tuple(int(c) for c in COLOURS[NAMES.index(part)]), box)
        picture.save(folder / "photos" / "kitten" / f"größe & {number}.png")
    (account,) = partlab("studio", "user", email)["users"]
    given = ["--vocabulary", folder / "vocabulary.yaml", "--images", folder / "photos"]
    given += ["--annotators", email, "--per-object", 2, *more]
    partlab("studio", "create", folder / "work", *given)
    return folder / "work", account["password"] or ""


def project_of(folder: Path) -> int:
    with Work.open(folder) as work:
        return work.batch("kitten").project_id or 0


def backends(studio: Studio, project: int) -> list[Any]:
    return list(studio.get("/api/ml", project=project))


def prompt(x: float, y: float, label: str) -> dict[str, Any]:
    value = {"x": 100 * x / SIZE[0], "y": 100 * y / SIZE[1], "width": 0.3, "labels": [label]}
    about = {"id": "k1", "from_name": "click", "to_name": "image", "type": "keypoint"}
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    return {**about, **sizes, "is_positive": True, "value": value}


def test_connected_answered_and_taken_away(
    server: Running, model: Served, studio: Studio, tmp_path: Path
) -> None:
    folder, _ = begin(tmp_path)
    project = project_of(folder)
    before = studio.get(f"/api/projects/{project}/")
    for _ in range(2):  # the second changes nothing
        told = partlab("studio", "connect", folder, model.url)
        (round,) = told["rounds"]
        assert (round["known_as"], round["tools"]) == ("cat", True)
        assert round["shows"] == "partlab: seg"
        (backend,) = backends(studio, project)
        assert (backend["state"], backend["is_interactive"]) == ("CO", True)
        assert backend["url"] == f"{model.url}/studio/seg"
        assert backend["model_version"] == told["model"]
        assert studio.get("/api/webhooks/", project=project) == []
    connected = studio.get(f"/api/projects/{project}/")
    assert mark_of(connected)["help"] == "cat"
    assert connected["model_version"] == "partlab: seg"

    task = next(iter(studio.pages("/api/tasks", key="tasks", project=project, include="id")))["id"]
    path = f"/api/ml/{backend['id']}/interactive-annotating"
    context = {"result": [prompt(20, 20, "h")]}
    answer = studio.post(path, {"task": task, "context": context})["data"]
    (mask,) = read_result(answer["result"], CAT, SIZE, SIZE).masks
    assert (mask.part, mask.model) == ("h", told["model"])
    assert decode(mask.rle)[15, 15]
    assert decode(mask.rle).sum() == 400

    moved = f"{model.url.replace('127.0.0.1', 'localhost')}"
    partlab("studio", "connect", folder, moved)  # another address takes the place of the first
    (backend,) = backends(studio, project)
    assert backend["url"] == f"{moved}/studio/seg"
    (round,) = partlab("studio", "connect", folder, "--off")["rounds"]
    assert (round["known_as"], round["tools"]) == (None, False)
    assert backends(studio, project) == []
    after = studio.get(f"/api/projects/{project}/")
    assert mark_of(after) == mark_of(before)
    assert "KeyPoint" not in after["label_config"]
    partlab("studio", "connect", folder, "--off")


def test_suggestions_that_are_shown_count_even_if_nothing_is_kept_of_them(
    server: Running, model: Served, studio: Studio, tmp_path: Path
) -> None:
    """Label Studio fetches them when a picture is opened; D-05."""
    folder, password = begin(tmp_path, email="ida@x.org")
    told = partlab("studio", "connect", folder, model.url)
    with Person(server.url, "ida@x.org", password) as ida:
        task = ida.next(project_of(folder))
        opened = studio.get(f"/api/tasks/{task['id']}")
        (suggested,) = opened["predictions"]
        assert suggested["model_version"] == told["model"]
        masks = read_result(suggested["result"], CAT, SIZE, SIZE).masks
        assert [mask.part for mask in masks] == ["h", "ear"]
        own = [{**item, "origin": "manual"} for item in suggested["result"]]
        for item in own:
            item.pop("meta")
        ida.submit(task["id"], own)
    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("kitten", 1)
        assert answer.kind == "masks"
        assert {mask["model"] for mask in answer.masks} == {None}
        assert Provenance(work).suggested_by(answer) == told["model"]


def test_a_renamed_part_keeps_the_help(
    server: Running, model: Served, studio: Studio, tmp_path: Path
) -> None:
    folder, _ = begin(tmp_path)
    partlab("studio", "connect", folder, model.url)
    with Work.open(folder) as work:
        vocabulary = work.vocabulary
    write_vocabulary(tmp_path / "new.yaml", rename_part(vocabulary, "kitten", "ear", "auricle"))
    partlab("vocabulary", "migrate", folder, tmp_path / "new.yaml")
    project = studio.get(f"/api/projects/{project_of(folder)}/")
    assert mark_of(project)["help"] == "cat"
    assert "auricle" in project["label_config"]
    assert "KeyPoint" in project["label_config"]


def test_a_work_that_forbids_help_gets_none_whoever_adds_a_model(
    server: Running, model: Served, studio: Studio, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """D-05."""
    folder, _ = begin(tmp_path, "--no-model-help")
    project = project_of(folder)
    code, _, words = run("studio", "connect", folder, model.url)
    assert code == 1
    assert "forbids model help" in words
    assert backends(studio, project) == []
    by_hand = {"url": model.url, "title": "mine", "project": project, "is_interactive": True}
    id = studio.post("/api/ml", by_hand)["id"]
    task = next(iter(studio.pages("/api/tasks", key="tasks", project=project, include="id")))["id"]
    context = {"result": [prompt(20, 20, "h")]}
    answer = studio.post(f"/api/ml/{id}/interactive-annotating", {"task": task, "context": context})
    assert answer == {"data": {"result": []}}
    assert "its work forbids model help (D-05)" in caplog.text


def test_a_key_travels_as_a_password(
    server: Running, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(tmp_path / "keys.json", "studio", "read")
    folder, _ = begin(tmp_path)
    with serving(source_of(PacedSegmenter()), keys=tmp_path / "keys.json") as model:
        code, _, words = run("studio", "connect", folder, model.url)
        assert (code, "does not take the key" in words) == (4, True)
        monkeypatch.setenv("PARTLAB_SERVE_KEY", key)
        partlab("studio", "connect", folder, model.url)
        (backend,) = backends(studio, project_of(folder))
        assert (backend["state"], backend["auth_method"]) == ("CO", "BASIC_AUTH")
        assert key not in json.dumps(backend)
        code, told, _ = run("doctor", "--studio", server.url)
        named = f"project {project_of(folder)}: model to pictures"
        assert next(p["state"] for p in told["parts"] if p["name"] == named) == "present"


def test_doctor_says_what_is_amiss(
    server: Running, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SV-03."""
    folder, _ = begin(tmp_path)
    project = project_of(folder)

    def state(what: str) -> tuple[str, str]:
        _, told, _ = run("doctor", "--studio", server.url)
        named = {part["name"]: part for part in told["parts"]}
        part = named[what if what in named else f"project {project}: {what}"]
        return part["state"], f"{part['detail']} {part['get']}"

    with serving(source_of(PacedSegmenter())) as model:
        partlab("studio", "connect", folder, model.url)
        assert state("Label Studio")[0] == state("legacy tokens")[0] == "present"
        assert "looks like a legacy token" in state("Label Studio")[1]
        assert state("to the model")[0] == state("model to pictures")[0] == "present"
        studio.post(
            "/api/jwt/settings", {"legacy_api_tokens_enabled": False, "api_tokens_enabled": True}
        )
        try:
            assert run("doctor", "--studio", server.url)[0] == 4  # our own is a legacy one
        finally:
            _legacy_tokens_again(server)
    kind, words = state("to the model")
    assert kind == "broken"
    assert "does not reach" in words
    assert "partlab serve" in words
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "0" * 40)
    code, told, _ = run("doctor", "--studio", server.url)
    assert code == 4
    (part,) = told["parts"]
    assert "does not accept the token" in part["detail"]
    assert run("doctor", "--studio", "http://127.0.0.1:9")[0] == 4


def _legacy_tokens_again(server: Running) -> None:
    with Person(server.url, server.email, server.password) as admin:
        admin._send(
            "POST",
            "/api/jwt/settings",
            {"legacy_api_tokens_enabled": True, "api_tokens_enabled": True},
        )


FOREIGN = """<View><Image name="photo" value="$picture"/>
<BrushLabels name="mask" toName="photo"><Label value="head"/><Label value="ear"/></BrushLabels>
<KeyPointLabels name="kp" toName="photo" smart="true"><Label value="head"/></KeyPointLabels>
</View>"""


def test_pictures_come_in_all_three_ways_also_turned_ones(
    server: Running, studio: Studio, tmp_path: Path
) -> None:
    """SV-02, SV-09: uploaded, local files, http; in a project that is not partlab's."""
    folder = tmp_path / "pictures"
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # stored lying down
    cat_picture(folder / "upright.png")
    with PillowImage.open(folder / "upright.png") as upright:
        upright.transpose(PillowImage.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    project = studio.post("/api/projects/", {"title": "theirs", "label_config": FOREIGN})["id"]
    own = {"project": project, "title": "p", "path": str(folder), "use_blob_urls": True}
    studio.post("/api/storages/localfiles", own)
    local = f"/data/local-files/?d={(folder / 'turned.png').relative_to(server.root)}"
    with picture_server() as web:
        web.answers["/turned.png"] = (folder / "turned.png").read_bytes()
        uploaded = httpx.post(
            f"{server.url}/api/projects/{project}/import",
            files={"file": ("turned.png", web.answers["/turned.png"], "image/png")},
            headers={"Authorization": f"Token {server.token}"},
        )
        assert uploaded.is_success, uploaded.text
        tasks = [{"data": {"picture": each}} for each in (local, f"{web.url}/turned.png")]
        studio.post(f"/api/projects/{project}/import", tasks)
        with serving(source_of(PacedSegmenter()), help={"pictures": [web.url]}) as model:
            by_hand = {"url": model.url, "project": project, "is_interactive": True}
            path = f"/api/ml/{studio.post('/api/ml', by_hand)['id']}/interactive-annotating"
            found = studio.pages("/api/tasks", key="tasks", project=project, include="id,data")
            addresses = {task["data"]["picture"]: task["id"] for task in found}
            kinds = {
                kind
                for each in addresses
                for kind in ("upload", "local-files", "http")
                if kind in each
            }
            assert kinds == {"upload", "local-files", "http"}
            for address, task in addresses.items():
                value = {"x": 100 * 20 / SIZE[0], "y": 50, "keypointlabels": ["head"]}
                item = {**prompt(20, 20, "head"), "type": "keypointlabels", "value": value}
                answer = studio.post(path, {"task": task, "context": {"result": [item]}})["data"]
                (region,) = answer["result"]
                assert region["value"]["brushlabels"] == ["head"], address
                mask = decode_brush(region["value"]["rle"], SIZE[1], SIZE[0])
                assert mask[HEAD[1] : HEAD[3], HEAD[0] : HEAD[2]].all(), address
                assert mask.sum() == 400


def test_a_server_that_is_not_there_leaves_no_trace(
    server: Running, model: Served, studio: Studio, tmp_path: Path
) -> None:
    folder, _ = begin(tmp_path)
    code, _, words = run("studio", "connect", folder, "http://127.0.0.1:9")
    assert code == 4
    assert "no model server answers" in words
    code, _, words = run("studio", "connect", folder, model.url, "--off")
    assert code == 2
    project = studio.get(f"/api/projects/{project_of(folder)}/")
    assert backends(studio, project["id"]) == []
    assert "help" not in mark_of(project)
    assert "KeyPoint" not in project["label_config"]
