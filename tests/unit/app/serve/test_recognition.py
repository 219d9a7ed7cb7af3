"""Classify, embed and attack over the server: as in this process, and lossless."""

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tiny_recognition
import torch
from PIL import Image as PillowImage
from served import PacedSegmenter, Running, png, serving, source_of

from app.serve.answers import AttackAnswer, ClassifyAnswer, EmbedAnswer, ExplainAnswer
from app.serve.source import Source
from partlab.images import load_image
from train.attacks.ball import Ball
from train.attacks.evaluation import search
from train.evaluate.opened import open_model
from train.export import export_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("recognition")
    world = tiny_recognition.world(folder / "world")
    return tiny_recognition.train(world, folder / "mpm", "attack.method=none", "train.epochs=1")


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[Running]:
    with serving(Source.of_run(str(run)), attack_steps=10) as running:
        yield running


@pytest.fixture(scope="module")
def picture(run: Path) -> Path:
    return next((run.parent / "world" / "images").rglob("*.jpg"))


@pytest.fixture(scope="module")
def data(picture: Path) -> bytes:
    return picture.read_bytes()


def raw(text: str) -> BytesIO:
    return BytesIO(base64.b64decode(text))


def pixels(text: str) -> np.ndarray:
    return load_image(base64.b64decode(text))


def test_classes_are_those_of_this_process(server: Running, run: Path, picture: Path) -> None:
    opened = open_model(run)
    with torch.no_grad():
        mine = opened.network(opened.pictures([picture])).softmax(1)[0].cpu().numpy()
    answer = server.post("/v1/classify?top=2", picture.read_bytes()).json()
    ClassifyAnswer.model_validate(answer)
    best = np.argsort(-mine, kind="stable")[:2]
    assert [each["name"] for each in answer["classes"]] == [opened.classes[i] for i in best]
    np.testing.assert_allclose([e["probability"] for e in answer["classes"]], mine[best], atol=1e-6)


def test_an_embedding_is_what_the_classifier_reads(
    server: Running, run: Path, picture: Path
) -> None:
    answer = server.post("/v1/embed", picture.read_bytes()).json()
    EmbedAnswer.model_validate(answer)
    opened = open_model(run)
    vector = torch.tensor(answer["vector"])[None]
    with torch.no_grad():
        logits = opened.network(opened.pictures([picture]))
        again = opened.network.backbone.get_classifier()(vector)
    torch.testing.assert_close(again, logits, atol=1e-5, rtol=1e-4)


def test_part_maps_are_those_of_this_process(server: Running, run: Path, picture: Path) -> None:
    answer = server.post("/v1/explain?top=2", picture.read_bytes()).json()
    ExplainAnswer.model_validate(answer)
    opened = open_model(run)
    assert answer["names"] == list(opened.network.parts)
    with torch.no_grad():
        found = opened.network(opened.pictures([picture]), parts=True)
    mine = [each[0].argmax(0).cpu().numpy() for each in found.parts]
    theirs = [np.array(PillowImage.open(raw(each["png"]))) for each in answer["maps"]]
    assert [each.shape for each in theirs] == [(e["height"], e["width"]) for e in answer["maps"]]
    assert [each.shape for each in theirs] == [each.shape for each in mine]
    assert all((a == b).all() for a, b in zip(mine, theirs, strict=True))
    assert any(each.any() for each in theirs)  # not background alone
    plain = server.post("/v1/classify?top=2", picture.read_bytes()).json()["classes"]
    assert [each["name"] for each in answer["classes"]] == [each["name"] for each in plain]


def test_a_picture_that_was_given_back_is_seen_as_it_is(server: Running, data: bytes) -> None:
    attack = server.post("/v1/attack?steps=5", data).json()
    again = base64.b64decode(attack["png"])
    classes = server.post("/v1/classify?as_seen=true", again).json()["classes"]
    assert classes == attack["attacked"]
    explained = server.post("/v1/explain?as_seen=true", again).json()
    assert explained["classes"] == attack["attacked"]
    assert (pixels(explained["clean_png"]) == pixels(attack["png"])).all()
    wrong = server.post("/v1/classify?as_seen=true", png(np.zeros((20, 30, 3))))
    assert wrong.status_code == 422
    assert "30 x 20 pixels" in wrong.json()["error"]["cause"]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 4 / 255), ("linf", 0.013), ("l2", 0.5)])
def test_pgd_is_that_of_this_process_and_the_picture_is_lossless(
    server: Running, run: Path, data: bytes, norm: str, eps: float
) -> None:
    query = {"norm": norm, "eps": eps, "steps": 5, "seed": 3, "exact": True}
    answer = server.post("/v1/attack", data, params=query).json()
    AttackAnswer.model_validate(answer)
    opened = open_model(run)
    clean = pixels(answer["clean_png"])
    assert (clean == opened.seen(load_image(data))).all()
    images = opened.tensor([clean])
    label = torch.tensor([opened.classes.index(answer["label"])])
    ball = Ball(norm, eps)
    found = search(opened.network, images, label, ball, steps=5, seed=3).points
    exact = np.load(BytesIO(base64.b64decode(answer["exact_npy"])))
    np.testing.assert_allclose(exact, found[0].detach().cpu().numpy(), atol=1e-6)
    attacked = pixels(answer["png"])
    ball.verify(opened.tensor([attacked]), images)  # the rounded one lies in the ball, too
    assert answer["largest_change"] == np.abs(attacked.astype(int) - clean).max() > 0
    with torch.no_grad():
        after = opened.network(opened.tensor([attacked])).softmax(1)[0].cpu().numpy()
    assert answer["attacked"][0]["name"] == opened.classes[after.argmax()]
    assert answer["attacked"][0]["probability"] == pytest.approx(float(after.max()), abs=1e-5)
    assert answer["fooled"] == (answer["attacked"][0]["name"] != answer["label"])


def test_the_label_may_be_given(server: Running, data: bytes) -> None:
    for label in ("cat", "ram"):
        answer = server.post(f"/v1/attack?label={label}&steps=2", data).json()
        assert answer["label"] == label
    wrong = server.post("/v1/attack?label=ram%20", data)
    assert wrong.status_code == 422
    assert "did you mean ram" in wrong.json()["error"]["hint"]


def test_a_corruption_is_that_of_this_process(server: Running, run: Path, data: bytes) -> None:
    from train.corruptions import corrupt

    query = "attack=corruption&corruption=gaussian_noise&severity=4&seed=7"
    answer = server.post(f"/v1/attack?{query}", data).json()
    clean = pixels(answer["clean_png"])
    assert (pixels(answer["png"]) == corrupt(clean, "gaussian_noise", 4, "served 7")).all()
    wrong = server.post("/v1/attack?attack=corruption&corruption=fogg", data)
    assert wrong.status_code == 422
    assert "fog" in wrong.json()["error"]["hint"]


@pytest.mark.parametrize(
    "query",
    [
        "steps=11", "steps=0", "eps=nan", "eps=-1", "eps=4", "norm=l1", "severity=6",
        "attack=autoattack", "seed=-1", "top=0",
    ],
)  # fmt: skip
def test_an_attack_that_is_none_is_refused(server: Running, data: bytes, query: str) -> None:
    kind = "corruption" if "severity" in query else "pgd"
    answer = server.post(f"/v1/attack?{query}" + f"&attack={kind}" * ("attack" not in query), data)
    assert answer.status_code == 422, answer.text
    assert server.post("/v1/classify", data).status_code == 200


def test_a_server_may_attack_nothing(run: Path, data: bytes) -> None:
    with serving(Source.of_run(str(run)), attack=False) as server:
        assert server.post("/v1/attack", data).status_code == 403
        assert server.post("/v1/classify", data).status_code == 200
        assert len(server.state.models.batchers) == 1


def test_who_classifies_does_not_wait_for_an_attack(run: Path, data: bytes) -> None:
    """Each has a batcher of its own, and the attack a copy of the network."""
    with serving(Source.of_run(str(run))) as server:
        model = server.state.models.find("mpm")
        assert model.batcher is not model.attacker
        before = server.post("/v1/classify", data).json()
        assert "_victim" not in vars(model)  # who never attacks keeps one network
        assert server.post("/v1/attack?steps=20", data).status_code == 200
        assert server.post("/v1/classify", data).json() == before
        ours = {id(each) for each in model.opened.network.parameters()}
        assert ours.isdisjoint(id(each) for each in model._victim.parameters())


def test_both_kinds_are_served_together_and_an_exported_model_too(
    run: Path, tmp_path: Path, data: bytes
) -> None:
    export_model(run, tmp_path / "exported")
    exported = Source.of_run(str(tmp_path / "exported"))
    with serving(source_of(PacedSegmenter()), exported, Source.of_run(f"full={run}")) as server:
        kinds = {m["name"]: m["kind"] for m in server.client.get("/v1/models").json()["models"]}
        assert kinds == {"seg": "segmenter", "exported": "recognition", "full": "recognition"}
        assert server.post("/v1/segment", data).status_code == 200
        by_both = [
            server.post(f"/v1/classify?model={m}", data).json() for m in ("full", "exported")
        ]
        assert by_both[0]["classes"] == by_both[1]["classes"]
        wrong = server.post("/v1/classify?model=seg", data)
        assert wrong.status_code == 404
        assert "is no recognition model" in wrong.json()["error"]["cause"]
        parts = server.post("/v1/explain?model=exported", data)
        assert parts.status_code == 404
        assert "has no part outputs" in parts.json()["error"]["cause"]
        unnamed = server.post("/v1/classify", data)
        assert unnamed.status_code == 422


def test_any_size_and_shape_is_classified(server: Running) -> None:
    for size in ((1, 1), (1, 500), (300, 200)):
        answer = server.post("/v1/classify", png(np.zeros((*size, 3))))
        assert answer.status_code == 200, answer.text
