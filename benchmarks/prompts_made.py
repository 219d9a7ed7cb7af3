"""What benchmarks/prompts.py measures: data without one category, a segmenter and its prompt head.

Everything lies in the work folder, and what is there is not made again; a training that was
stopped goes on.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from annotate.world import WorldConfig, make_world
from partlab.coco import read_dataset, write_coco
from partlab.schema import Dataset
from segmenter.prompt.head_file import has_head
from segmenter.prompt.train import train_prompt_head
from segmenter.train import train_segmenter

TENTH = 10  # of the training pictures of photographs: they pick the best checkpoint


@dataclass(frozen=True)
class Made:
    """The run to be asked, pictures it never learnt from, and the category it never saw."""

    run: Path
    heldout: Dataset
    unseen: str


@dataclass(frozen=True)
class Recipe:
    """How long is trained, and on how many pictures (None: all)."""

    name: str
    pictures: int | None
    epochs: int
    head_epochs: int
    seed: int

    @property
    def word(self) -> str:
        """What differs is kept apart."""
        return f"{self.name}-{self.pictures or 'all'}-{self.epochs}-{self.head_epochs}-{self.seed}"


def of_world(work: Path, recipe: Recipe, unseen: str) -> Made:
    """The part world; measured on its held-out pictures."""
    world = work / f"world-{recipe.pictures or 'all'}-{recipe.seed}"
    if not (world / "annotations" / "heldout.json").is_file():
        size = {} if recipe.pictures is None else {"images": recipe.pictures, "heldout": 14}
        make_world(world, WorldConfig(pool=0, seed=recipe.seed, **size), force=world.exists())
    splits = {name: read_dataset(world, name) for name in ("train", "val")}
    return _trained(work, recipe, splits, read_dataset(world, "heldout"), unseen)


def of_photos(work: Path, recipe: Recipe, unseen: str, photos: Path) -> Made:
    """Photographs with the splits train and val; measured on val."""
    data = read_dataset(photos, "train")
    every = data.images if recipe.pictures is None else _spread(data, recipe.pictures)
    val = {image.id for image in every[::TENTH]}
    splits = {
        "train": data.subset(image.id for image in every if image.id not in val),
        "val": data.subset(val),
    }
    return _trained(work, recipe, splits, read_dataset(photos, "val"), unseen)


def _spread(data: Dataset, number: int) -> list[object]:
    return list(data.images[:: max(len(data.images) // number, 1)])[:number]


def without(data: Dataset, unseen: str) -> Dataset:
    """The same without the pictures and the parts of an object category."""
    kept = data.subset(image.id for image in data.images if data.object_of(image) != unseen)
    parts = [category for category in data.categories if category.object != unseen]
    inclusions = {name: inner for name, inner in data.inclusions.items() if name != unseen}
    ids = {category.id for category in parts}
    masks = [each for each in kept.annotations if each.category_id in ids]
    return replace(kept, annotations=masks, categories=parts, inclusions=inclusions, top={})


def _trained(
    work: Path, recipe: Recipe, splits: dict[str, Dataset], heldout: Dataset, unseen: str
) -> Made:
    if unseen not in heldout.objects:
        raise SystemExit(f"no object category {unseen}; there are {', '.join(heldout.objects)}")
    place = work / f"{recipe.word}-without-{unseen.replace(' ', '-')}"
    data, run = place / "data", place / "run"
    for name, split in splits.items():
        _keep(without(split, unseen), data, name)
    if not (run / "trained").is_file():
        how = [f"train.epochs={recipe.epochs}", f"train.seed={recipe.seed}"]
        train_segmenter(data, run, recipe=recipe.name, overrides=how)
        (run / "trained").touch()
    if not has_head(run):
        how = [f"train.epochs={recipe.head_epochs}", f"train.seed={recipe.seed}"]
        train_prompt_head(run, data, overrides=how)
    return Made(run, heldout, unseen)


def _keep(data: Dataset, folder: Path, split: str) -> None:
    file, images = folder / "annotations" / f"{split}.json", folder / "images"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        if not images.is_symlink():
            images.symlink_to(data.image_root.resolve())
        write_coco(data, file)
