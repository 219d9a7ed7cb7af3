"""Threats, the attacked model and the record on disk."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from partlab.errors import ConfigError, NotFoundError, PartlabError, SchemaError, UnknownNameError
from train.evaluate import chunk as judged
from train.evaluate.attacks import AUTOATTACK, parse_attack
from train.evaluate.autoattack import Found
from train.evaluate.average import FOUR, four
from train.evaluate.chunk import Manner, attacked_outcomes, chunk_of
from train.evaluate.evaluate import _waterfall
from train.evaluate.outcomes import (
    SCHEMA,
    Evaluation,
    Model,
    PictureSet,
    Row,
    Stage,
    read_evaluation,
    with_rows,
    write_evaluation,
)
from train.evaluate.threats import STANDARD, Threat, parse_threats
from train.evaluate.victim import Victim
from train.models.base import Outputs


@pytest.mark.parametrize(
    ("text", "name"),
    [("linf:4/255", "linf-4/255"), ("linf:0.1", "linf-0.1"), ("l1:75", "l1-75"), ("l2:2", "l2-2")],
)
def test_threats_by_name(text: str, name: str) -> None:
    threat = Threat.parse(text)
    assert threat.name == name
    assert Threat.parse(name) == threat


@given(st.sampled_from(["linf", "l2", "l1"]), st.integers(0, 50))
def test_a_name_names_its_threat(norm: str, levels: int) -> None:
    threat = Threat(norm, levels / 255)  # type: ignore[arg-type]
    again = Threat.parse(threat.name)
    assert again.norm == norm
    assert again.eps == pytest.approx(threat.eps, rel=1e-5)


def test_four_stands_for_four_levels_only_when_said_so() -> None:  # RK-13
    with pytest.raises(ConfigError, match="whole range") as told:
        Threat.parse("linf:4")
    assert "4/255?" in str(told.value.hint)
    assert Threat.parse("linf:4", large_eps=True).eps == 4
    with pytest.raises(ConfigError, match=r"eps 0.25 is 25 % of the range of colours"):
        Threat.parse("linf:0.25")
    assert Threat.parse("l2:4").eps == 4
    for bad in ("linf", "linf:", "linf:x", "l3:1", "l2:-1", "l2:nan", "linf:1/0"):
        with pytest.raises(ConfigError):
            Threat.parse(bad)


def test_the_standard_four_and_their_average() -> None:
    assert parse_threats(["standard"]) == STANDARD
    names = ("linf-4/255", "linf-8/255", "l1-75", "l2-2")
    assert tuple(t.name for t in STANDARD) == FOUR == names
    shares = dict(zip(names, (0.4, 0.2, 0.1, 0.3), strict=True))
    assert four(shares | {"linf-2/255": 0.9}) == [0.4, 0.2, 0.1, 0.3]
    assert four({"linf-4/255": 0.4}) is None
    assert len(parse_threats(["linf:4/255,l2:2", "l1:75"])) == 3
    for bad in ([], ["l2:2", "l2:2"]):
        with pytest.raises(ConfigError):
            parse_threats(bad)


@pytest.mark.parametrize("threat", STANDARD, ids=lambda each: each.name)
def test_what_leaves_the_ball_or_the_colours_is_found(threat: Threat) -> None:  # RK-05
    images = torch.full((3, 3, 8, 8), 0.5)
    points = images.clone()
    threat.verify(points, images)
    if threat.norm == "linf":
        points[1, 0, 0, 0] += threat.eps * 1.001
    else:
        threat = Threat(threat.norm, 0.2)
        points[1, 0, 0, 0] += 0.201
    with pytest.raises(PartlabError, match="left its ball"):
        threat.verify(points, images)
    for value in (-0.001, 1.001, float("nan")):
        points = images.clone()
        points[2, 0, 0, 0] = value
        with pytest.raises(PartlabError, match="left its ball"):
            Threat("l1", 9).verify(points, images)


class Fixed(nn.Module):
    """Says the same logits of every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.eval()

    def forward(self, images: torch.Tensor, *, parts: bool = False) -> torch.Tensor | Outputs:
        logits = self.logits.to(images.dtype).expand(len(images), -1)
        return Outputs(logits, (images[:, :1],)) if parts else logits


NAMES = ("bear", "cat", "dog", "eel")
IMAGES = torch.zeros(2, 3, 4, 4)


def test_columns_and_super_categories_are_made_inside() -> None:
    network = Fixed(1.0, 2.0, 3.0, 2.5)
    some = Victim(network, NAMES, columns=["dog", "bear"])
    assert some(IMAGES).tolist() == [[3.0, 1.0]] * 2
    assert some.classes == ("dog", "bear")
    assert some.own("cat") is None
    assert some.own("dog") == "dog"
    groups = {"pet": ["cat", "dog"], "wild": ["bear", "eel"]}
    largest = Victim(network, NAMES, groups=groups)
    assert largest(IMAGES)[0].tolist() == [3.0, 2.5]
    assert largest.own("eel") == "wild"
    summed = Victim(network, NAMES, groups=groups, merge="logsumexp")(IMAGES)[0]
    assert summed[0] == pytest.approx(float(torch.tensor([2.0, 3.0]).logsumexp(0)))


def test_the_victim_is_the_model_itself() -> None:
    network = Fixed(1.0, 2.0, 3.0, 2.5)
    victim = Victim(network, NAMES)
    assert victim.own("cat") == "cat"
    assert not victim.network.logits.requires_grad
    assert victim(IMAGES.double()).dtype == torch.float64
    found = victim(IMAGES, parts=True)
    assert isinstance(found, Outputs)
    assert found.parts[0].shape == (2, 1, 4, 4)


def test_victims_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="training mode"):  # RK-10
        Victim(Fixed(1.0, 2.0, 3.0, 2.5).train(), NAMES)
    network = Fixed(1.0, 2.0, 3.0, 2.5)
    with pytest.raises(ConfigError, match="4 outputs and 3 classes"):
        Victim(network, NAMES[:3])(IMAGES)
    with pytest.raises(UnknownNameError, match="ca"):
        Victim(network, NAMES, columns=["ca", "dog"])
    for columns in (["cat"], ["cat", "cat"], ["cat", "dog", "cat"]):
        with pytest.raises(ConfigError):
            Victim(network, NAMES, columns=columns)
    with pytest.raises(ConfigError, match="twice"):
        Victim(network, NAMES, groups={"a": ["cat", "dog"], "b": ["dog"]})


def record() -> Evaluation:
    return Evaluation(
        model=Model(
            name="m",
            path="runs/m",
            kind="mpm",
            classes=("cat", "ram"),
            parameters=3,
            preprocessing={"size": 32},
            weights_sha256="0",
        ),
        list=PictureSet(name="world", sha256="1", images=2, per_class={"cat": 1, "ram": 1}),
        rows=(row("clean", "clean"),),
    )


def row(threat: str, attack: str) -> Row:
    return Row(
        threat=threat,
        attack=attack,
        upper_bound=False,
        accuracy=0.5,
        images=2,
        stages=(Stage(name="clean", robust=0.5),),
    )


def table(threat: str, attack: str) -> pa.Table:
    lines = [
        ("a.png", "cat", threat, attack, True, "cat", 0.5, None, None),
        ("b.png", "ram", threat, attack, False, "cat", -1.0, "clean", 3),
    ]
    columns = list(zip(*lines, strict=True))
    return pa.table(
        [pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_evaluation(tmp_path, record(), table("clean", "clean"))
    found = read_evaluation(tmp_path)
    assert found.model_copy(update={"folder": None}) == record()
    assert found.outcomes.equals(table("clean", "clean"))


def test_rows_of_another_attack_stay(tmp_path: Path) -> None:
    write_evaluation(tmp_path, record(), table("clean", "clean"))
    old = read_evaluation(tmp_path)
    new = row("l2-2", "pgd-20")
    once = with_rows(old, record(), table("l2-2", "pgd-20"), [new])
    write_evaluation(tmp_path, *once)
    twice = with_rows(read_evaluation(tmp_path), record(), table("l2-2", "pgd-20"), [new])
    for found, outcomes in (once, twice):
        assert [each.attack for each in found.rows] == ["clean", "pgd-20"]
        assert outcomes.num_rows == 4


def test_the_fuller_honesty_record_stays(tmp_path: Path) -> None:
    def told(*names: str) -> dict[str, Any]:
        return {"ok": True, "findings": [{"name": name, "ok": True} for name in names]}

    full, short = told("train_mode", "randomness", "fgsm"), told("train_mode", "randomness")
    for old, new, kept in ((full, short, full), (None, short, short), (short, full, full)):
        one, other = (record().model_copy(update={"honesty": each}) for each in (old, new))
        write_evaluation(tmp_path, one, table("clean", "clean"))
        before = read_evaluation(tmp_path)
        found, _ = with_rows(before, other, table("l2-2", "pgd-20"), [row("l2-2", "pgd-20")])
        assert found.honesty == kept


def test_folders_that_hold_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no evaluation"):
        read_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"format": 1}')
    with pytest.raises(SchemaError, match="model"):
        read_evaluation(tmp_path)
    write_evaluation(tmp_path, record(), table("clean", "clean"))
    (tmp_path / "outcomes.parquet").write_bytes(b"<html>")
    with pytest.raises(SchemaError, match="damaged"):
        _ = read_evaluation(tmp_path).outcomes


def test_what_the_attack_says_is_not_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """RK-08: the stored prediction decides, and pictures of which the attack said other are told.

    Of four pictures the first was broken and is said to stand, the last is said to be broken.
    """
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.eye(3)[[0, 1, 2, 0]].view(4, 3, 1, 1).expand(4, 3, 2, 2).clone()
    pictures = chunk_of(("r", "g", "b"), range(4), list("wxyz"), list("ggbr"), images)
    claims = [None, None, None, "fab-t"]
    monkeypatch.setattr(judged, "autoattack", lambda *_, **__: Found(images, claims))
    attack, victim = parse_attack("autoattack"), Victim(model, ("r", "g", "b"))
    found = attacked_outcomes(victim, pictures, Threat("linf", 0.01), attack, Manner(4, 0))
    assert found.facts["disagreements"] == ["w", "z"]
    assert found.table["right"].to_pylist() == [False, True, True, True]
    assert found.table["prediction"].to_pylist() == list("rgbr")
    assert found.table["broken_by"].to_pylist() == ["autoattack", None, None, None]


def test_the_waterfall_is_the_worst_of_all_stages_by_picture() -> None:  # RK-07
    stages = ("clean", *AUTOATTACK)
    broken = [None, "clean", "apgd-ce", "apgd-ce", "square", "autoattack", None, "fab-t"]
    left = [8 * stage.robust for stage in _waterfall(broken, stages)]
    assert left == [7, 5, 5, 4, 2]  # what no stage claims falls with the last
