"""Made sets of the part world for benchmarks/part_models.py: background, texture, corruptions.

What the poster of Sitawarin 2023 has for its models on PartImageNet, measured here on held-out
pictures of the part world: objects on backgrounds of other classes, outlines with the texture of
other classes, and four common corruptions of severity 3, one of each family.
"""

from pathlib import Path
from typing import Any

CORRUPTED = ("gaussian_noise", "defocus_blur", "fog", "jpeg_compression")
SEVERITY, PICTURES = 3, 84


def make_sets(world: Path) -> None:
    """Beside the world, unless they are there."""
    from train.ood.making import make_set
    from train.ood.sources import open_sources
    from train.ood.spurious import Spurious
    from train.ood.texture import Texture

    sources = open_sources(world, "heldout", smallest=24)
    for recipe in (Spurious(sources), Texture(sources, least=10)):
        out = world.parent / recipe.kind
        if not out.is_dir():
            make_set(recipe, out)


def elsewhere(opened: Any, model: Any, world: Path, out: Path) -> dict[str, float]:
    """Accuracy of an opened model on the sets; the background's two halves count as one."""
    from train.ood.evaluation import OodPlan, evaluate_ood
    from train.ood.sets import open_set

    sets = [each for name in ("spurious", "texture")
            for each in open_set(name, world.parent / name, opened.classes)]  # fmt: skip
    rows = evaluate_ood(OodPlan(opened, tuple(sets)), model, out).rows
    found = {}
    for name in ("spurious", "texture"):
        own = [row for row in rows if name in row.threat]
        right = sum(row.accuracy * row.images for row in own)
        found[name] = right / sum(row.images for row in own)
    return {**found, "corrupted": corrupted(opened, world)}


def corrupted(opened: Any, world: Path) -> float:
    """Mean accuracy over the corruptions, of some held-out pictures evenly spread."""
    from partlab.coco import read_dataset
    from train.corruptions import Protocol
    from train.corruptions.measure import Example, corruption_outcomes
    from train.evaluate.victim import Victim

    data = read_dataset(world, "heldout")
    step = max(len(data.images) // PICTURES, 1)
    examples = [Example(each.file_name, data.object_of(each), data.image_path(each))
                for each in data.images[::step]]  # fmt: skip
    victim, how = Victim(opened.network, opened.classes), Protocol(size=opened.data.size)
    tables = corruption_outcomes(victim, examples, victim.classes, how, corruptions=CORRUPTED,
                                 severities=(SEVERITY,))  # fmt: skip
    right = [good for table in tables for good in table["right"].to_pylist()]
    return sum(right) / len(right)
