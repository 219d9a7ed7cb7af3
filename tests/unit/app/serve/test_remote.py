"""`--server URL`: pseudo labels, suggestions and audits by a served model, as by an own one."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import colour_segmenter
import pytest
from colour_segmenter import draw, draw_folder, write_colour_run
from scripted_segmenter import drawings_of
from served import PacedSegmenter, Running, serving, source_of
from typer.testing import CliRunner

from annotate.studio.acts.begin import begin_work, plan_work
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from app.cli.main import app
from app.prelabel import found_by, from_segmenter
from app.serve.keys import add_key
from app.serve.source import Source
from partlab.errors import BackendUnavailableError, ConfigError, NotFoundError
from partlab.files import read_json, write_json
from pseudolabel.engine import label_images
from pseudolabel.settings import Settings, Thresholds
from segmenter.predictor import Predictor
from segmenter.remote import KEY, Server, connect
from segmenter.tuning.tune import tune_run

LOW = Settings(thresholds=Thresholds(default=0.1), shard_size=5)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", 12)


def shards(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in store.glob("shards/*")}


def command(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_store_by_a_server_is_the_store_by_the_run(
    server: Running, colour_run: Path, photos: Path, tmp_path: Path
) -> None:
    """Also half and half: a store that one began the other goes on with."""
    own = label_images(photos, colour_run, tmp_path / "own", LOW, workers=0)
    for batch in (1, 8):
        settings = LOW.model_copy(update={"batch_size": batch})
        out = tmp_path / f"served{batch}"
        answer = command(
            "pseudolabel", photos, "--server", server.url, "--out", out, "--threshold", "0.1",
            "--set", "shard_size=5", "--batch-size", batch, "--workers", "0", "--json",
        )  # fmt: skip
        assert answer.exit_code == 0, answer.output
        assert json.loads(answer.stdout)["masks"] == own.store.manifest.counts["masks"] > 0
        same = label_images(photos, colour_run, tmp_path / f"o{batch}", settings, workers=0)
        rows = zip(same.store.rows(), label_store(out).rows(), strict=True)
        for here, there in rows:
            assert [m.rle for m in here.masks] == [m.rle for m in there.masks]
            scores = [[m.score for m in row.masks] for row in (here, there)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-3)  # others beside it
        assert label_store(out).manifest.identity == own.store.manifest.identity
    (tmp_path / "served1" / "shards" / "part-00000.parquet").unlink()
    assert label_images(photos, colour_run, tmp_path / "served1", LOW, workers=0).images == 5


def label_store(path: Path) -> Any:
    from pseudolabel.store import Store

    return Store.open(path)


@pytest.fixture
def work(tmp_path: Path, photos: Path) -> Iterator[Any]:
    cat = ObjectParts(name="cat", parts=(Part(id="p0", name="head"), Part(id="p1", name="ear")))
    plan = plan_work(Vocabulary(name="toys", objects=(cat,)), photos, objects=["cat"])
    with begin_work(tmp_path / "work", plan, name="toys", per_object=4) as begun:
        ids = [image.id for image in begun.images("cat")]
        data = {"images": ids, "assignee": "a@x.org", "vocabulary_version": 1}
        begun.record("planned", who="lead", object="cat", round=1, data=data)
        yield begun


def test_suggestions_for_annotators_are_the_same_under_the_same_name(
    colour_run: Path, work: Any
) -> None:
    with serving(Source.of_run(str(colour_run))) as server:
        by_run = from_segmenter(work, colour_run, LOW)
        by_server = from_segmenter(work, connect(server.url), LOW)
        assert by_run.model == by_server.model
        images = work.images("cat")
        one, other = (
            {s.image_id: s.masks for s in source.suggest(images)} for source in (by_run, by_server)
        )
        assert one == other
        assert any(one.values())


def test_an_audit_asks_the_server(
    server: Running, colour_run: Path, make_dataset: Any, tmp_path: Path
) -> None:
    boxes = [("cat:head", (0, 0, 9, 9))]
    data = make_dataset([(f"{n}.png", "cat", boxes) for n in range(3)])
    for number in range(3):
        draw(data.image_root / f"{number}.png", "cat", number, (60, 40))
    told = [
        command("inspect", "audit", data.path.parent.parent, "--json", *how)
        for how in (("--segmenter", colour_run), ("--server", server.url, "--model", "seg"))
    ]
    assert [each.exit_code for each in told] == [0, 0], told[1].output
    suspects = [
        {each["file_name"]: each["suspicion"] for each in json.loads(one.stdout)["images"]}
        for one in told
    ]
    assert suspects[0] == pytest.approx(suspects[1], abs=1e-3)  # scores depend on what is beside
    assert list(suspects[0]) == list(suspects[1])
    masks = [found_by(origin, data.path) for origin in (colour_run, connect(server.url))]
    assert [len(each.annotations) for each in masks] == [len(masks[0].annotations)] * 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--server", "http://127.0.0.1:9"), 4, "no model server answers"),
        (("--server", "ftp://here"), 2, "is no address"),
        (("--server", "nonsense"), 2, "is no address"),
        (("--server", "{url}", "--model", "sg"), 3, "did you mean seg"),
        (("--server", "{url}", "--segmenter", "x"), 2, "name one of the two"),
        ((), 2, "name one of the two"),
        (("--segmenter", "x", "--model", "seg"), 2, "give --server URL too"),
        (("--server", "{url}", "--checkpoint", "last"), 2, "serves the checkpoint"),
    ],
)
def test_what_is_wrong_with_a_server_is_told(
    server: Running, photos: Path, tmp_path: Path, words: tuple[str, ...], code: int, says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("segmenter.remote.PATIENCE", 0.5)
    given = [word.format(url=server.url) for word in words]
    answer = command("pseudolabel", photos, "--out", tmp_path / "out", *given)
    assert answer.exit_code == code, answer.output
    assert says in answer.output
    assert not (tmp_path / "out").exists()


def test_the_key_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(tmp_path / "keys.json", "me", "read")
    with serving(source_of(PacedSegmenter()), keys=tmp_path / "keys.json") as server:
        with pytest.raises(BackendUnavailableError, match="does not take the key") as refused:
            connect(server.url)
        assert KEY in (refused.value.hint or "")
        monkeypatch.setenv(KEY, key)
        assert connect(server.url).name == "seg"


def test_a_busy_server_is_asked_again_and_every_picture_is_answered() -> None:
    paced = PacedSegmenter(batch=0.3)
    with serving(source_of(paced), batch={"queue": 1, "images": 1}, requests=3) as server:
        remote = connect(server.url).load("best", None)
        pictures = [draw_pixels(seed) for seed in range(8)]
        found = remote.predict(pictures, ["cat"] * 8, threshold=0.1)
        alone = paced.predict([pictures[5]], ["cat"], threshold=0.1)[0]
        assert found[5].masks == alone.masks
        assert server.metric(
            "partlab_requests_total", route="/v1/detect", method="POST", status="503"
        )


def draw_pixels(seed: int) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return draw(Path(folder) / "x.png", "cat", seed)


class Restarted:
    """A server of one answer, which hangs up on the first tries and notes each key."""

    def __init__(self, fails: int) -> None:
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.keys.append(self.headers["Idempotency-Key"])
                if len(outer.keys) <= fails:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


def test_what_is_repeated_carries_the_same_key() -> None:
    restarted = Restarted(fails=2)
    client = Server(f"http://127.0.0.1:{restarted.server.server_port}", patience=30)
    client.get("/")
    assert len(restarted.keys) == 3
    assert len(set(restarted.keys)) == 1
    client.get("/")
    assert len(set(restarted.keys)) == 2
    restarted.server.shutdown()


def test_another_model_under_the_same_name_is_not_taken_for_the_first(
    colour_run: Path, tmp_path: Path
) -> None:
    """A server that was restarted with other weights must not finish a store of the first ones."""
    with serving(Source.of_run(f"seg={colour_run}")) as first:
        about = connect(first.url).about
    with serving(source_of(PacedSegmenter(), "seg")) as second:
        from segmenter.remote import RemoteSegmenter

        remote = RemoteSegmenter(Server(second.url, patience=1), about)
        with pytest.raises(NotFoundError, match="unknown model"):
            remote.predict([draw_pixels(1)])


def test_a_server_of_several_segmenters_asks_which() -> None:
    with serving(source_of(PacedSegmenter(), "a"), source_of(PacedSegmenter(), "b")) as server:
        with pytest.raises(ConfigError, match="2 segmenters"):
            connect(server.url)
        assert connect(server.url, model="b").name == "b"


def test_a_tuned_run_is_served_with_its_calibrated_scores_and_thresholds(
    tmp_path: Path, photos: Path
) -> None:
    run = write_colour_run(tmp_path / "runs" / "tuned")
    tune_run(run, drawings_of(colour_segmenter, tmp_path / "drawings"))
    thresholds = {"default": 0.4, "parts": {"car:body": 0.3}}
    write_json(run / "tuned.json", read_json(run / "tuned.json") | {"thresholds": thresholds})
    own = label_images(photos, run, tmp_path / "own", Settings(shard_size=5), workers=0)
    with serving(Source.of_run(f"seg={run}")) as server:
        picture = next(photos.glob("car/*"))
        answer = server.post("/v1/segment?object=car", picture.read_bytes()).json()["answers"][0]
        here = Predictor.load(run)(picture, "car")
        assert [part["score"] for part in answer["parts"]] == [mask.score for mask in here.masks]
        assert here.masks
        assert answer["threshold"] == Predictor.load(run).usual
        remote = label_images(
            photos, connect(server.url), tmp_path / "served", Settings(shard_size=5), workers=0
        )
    assert own is not None
    assert remote is not None
    kept = [each.store.manifest.config for each in (own, remote)]
    assert kept[0]["tuning_sha256"] == kept[1]["tuning_sha256"]
    assert kept[0]["thresholds"] == kept[1]["thresholds"] == thresholds
    assert remote.store.manifest.counts == own.store.manifest.counts
