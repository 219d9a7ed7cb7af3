"""Chosen pictures of an evaluation, from the attack to the page."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from train.evaluate.album import Album, chosen, part_names
from train.evaluate.attacks import parse_attack
from train.evaluate.chunk import Chunk, Manner, attacked_outcomes
from train.evaluate.outcomes import stem
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim
from train.evaluate_report.pictures import _legend, maps
from train.evaluate_report.reading import Condition
from train.models.build import create_model

NAMES = ("bear", "cat", "dög", "eel")


def test_the_choice_is_of_many_classes_and_a_larger_one_keeps_a_smaller() -> None:
    labels = ["cat"] * 50 + ["dog"] * 3 + ["eel"] * 3
    four, nine = chosen(labels, 4), chosen(labels, 9)
    assert {labels[at] for at in four} == {"cat", "dog", "eel"}
    assert nine[:4] == four
    assert Counter(labels[at] for at in nine) == {"cat": 3, "dog": 3, "eel": 3}
    assert len(chosen(labels, 100)) == 56
    assert chosen(labels, 0) == ()
    assert chosen(labels, 4) == four


def model() -> Victim:
    torch.manual_seed(0)
    return Victim(create_model("mpm_small_resnet8", classes=4, parts=3, levels=2).eval(), NAMES)


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    """An album of two of four pictures; the model is wrong on the second from the start."""
    victim = model()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    images = (255 * images).round() / 255
    with torch.no_grad():
        right = victim(images).argmax(1)
    targets = right.clone()
    targets[3] = (right[3] + 1) % 4
    names = [f"{NAMES[n]}/{k}.png" for k, n in enumerate(targets.tolist())]
    chunk = Chunk(range(4), names, [NAMES[n] for n in targets.tolist()], images, targets)
    album = Album(tmp_path / "pictures", (1, 3))
    album.keep(victim, chunk, images, "clean")
    found = attacked_outcomes(victim, chunk, Threat("linf", 8 / 255), ATTACK, Manner(4, 0))
    album.keep(victim, chunk, found.points, stem("linf-8/255", ATTACK.name))
    album.finish(names, found.table)
    return album, chunk, found


ATTACK = parse_attack("pgd-6")


def test_what_is_kept_is_what_was_found(kept: Any) -> None:
    album, chunk, found = kept
    first, second = album.folder / "0000001", album.folder / "0000003"
    assert sorted(file.name for file in first.iterdir()) == [
        "clean.parts.png", "clean.png", "linf-8_255-pgd-6.parts.png", "linf-8_255-pgd-6.png",
    ]  # fmt: skip
    assert sorted(file.name for file in second.iterdir()) == ["clean.parts.png", "clean.png"]
    clean = np.asarray(Image.open(first / "clean.png"), int)
    assert (clean == (255 * chunk.images[1]).round().permute(1, 2, 0).numpy()).all()
    attacked = np.asarray(Image.open(first / "linf-8_255-pgd-6.png"), int)
    assert 0 < abs(attacked - clean).max() <= 8
    assert (attacked == (255 * found.points[1]).round().permute(1, 2, 0).numpy()).all()
    assert sorted(album.files(["clean"]))[0].parent == first
    legend = _legend(first / "clean.parts.png")
    names = part_names(model().network)
    colours = np.asarray(Image.open(first / "clean.parts.png").convert("RGB"))
    with torch.no_grad():
        cells = model()(chunk.images[1:2], parts=True).parts[0][0].argmax(0)
    for y, x in np.ndindex(*cells.shape):
        n = int(cells[y, x])
        shade = "#{:02x}{:02x}{:02x}".format(*colours[y, x])
        assert shade == (legend[names[n - 1]] if n else "#ffffff")


class Shown:
    """What `maps` needs of an evaluation."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self.folder = folder
        image, right = (table[name].to_numpy(zero_copy_only=False) for name in ("image", "right"))
        order = np.argsort(image.astype(str))
        outcome = type("Outcome", (), {"images": image.astype(str)[order], "right": right[order]})
        self.outcomes = {Condition("linf-8/255", "pgd-6"): outcome}


def test_the_page_shows_each_condition_with_its_parts(kept: Any) -> None:
    album, chunk, found = kept
    (first, second), more = maps(Shown(album.folder.parent, found.table))  # type: ignore[arg-type]
    assert more == 0
    assert first.image == chunk.names[1]
    (clean, parts), (attacked, added, seen) = first.pictures
    assert clean.caption == "clean"
    assert parts.caption == seen.caption == "parts the model sees"
    assert attacked.caption == "linf-8/255, pgd-6"
    assert "at most 8/255" in added.caption
    assert second.broken == "wrong under linf-8/255"
    assert len(second.pictures) == 1  # nothing was attacked


def test_pictures_of_attacks_that_ran_before_are_said_to_be_missing(
    kept: Any, caplog: pytest.LogCaptureFixture
) -> None:
    album, chunk, found = kept
    caplog.set_level("INFO")
    broken = [n for n, by in enumerate(found.table["broken_by"].to_pylist()) if by == "pgd-6"]
    assert broken
    album.finish(chunk.names, found.table)
    assert "not kept" not in caplog.text or 1 not in broken
    Album(album.folder, (1, 3, *broken)).finish(chunk.names, found.table)
    count = len(set(broken) - {1})
    assert (f"{count} attacked pictures are not kept" in caplog.text) == bool(count)
