"""A team at a real Label Studio server that knows the truth of the part world."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from annotator import Person, choice
from sparql_engine import running_engine

from annotate.studio.server.start import Running
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary import read_vocabulary, write_vocabulary
from annotate.work import Work
from partlab.masks import Rle, decode, encode, from_segmentation, iou, union
from partlab.schema import Dataset


class Team:
    """Annotators who know the truth; each draws it well, or not."""

    def __init__(self, server: Running, work: Path, truth: Dataset, people: dict[str, Any]) -> None:
        self.server, self.folder, self.truth = server, work, truth
        self.people = people
        self.truth_of = {image.file_name: image for image in truth.images}

    def __call__(self, email: str) -> Person:
        return Person(self.server.url, email, self.people[email])

    def regions(self, file_name: str, parts: Any, *, shift: int = 0) -> list[Any]:
        """What somebody draws of a picture; `shift` pixels beside it when in haste."""
        image = self.truth_of[file_name]
        drawn = []
        for a in self.truth.annotations_of(image):
            rle = from_segmentation(a.segmentation, image.height, image.width)
            mask = np.roll(decode(rle), (shift, shift), (0, 1))
            part = parts.named(self.truth.category_by_id[a.category_id].part)
            drawn.append(PartMask(part.id, a.object_id or 1, encode(mask), "manual", 1))
        return regions_of(drawn, parts, (image.width, image.height))

    def draw(self, email: str, project: int, parts: Any, *, shift: int = 0, refuse: int = 0) -> int:
        """Work through a project; the first `refuse` pictures are discarded."""
        count = 0
        with self(email) as person:
            while (task := person.next(project)) is not None:
                if count < refuse:
                    person.submit(task["id"], [choice("discard", "low quality")])
                else:
                    regions = self.regions(task["data"]["file_name"], parts, shift=shift)
                    person.submit(task["id"], regions, seconds=60)
                count += 1
        return count


def passes(work: Work, team: Team, object: str, image_id: int) -> bool:
    """How an inspector looks at an image: every part where it truly is."""
    parts, batch = work.vocabulary.object(object), work.batch(object)
    found = next(a for a in work.answers(object, batch.round) if a.image_id == image_id)
    image = team.truth_of[work.image(image_id).file_name]
    truth = _together(
        (
            (team.truth.category_by_id[a.category_id].part, a.object_id or 1),
            from_segmentation(a.segmentation, image.height, image.width),
        )
        for a in team.truth.annotations_of(image)
    )
    drawn = _together(((parts.part(m["part"]).name, m["object"]), m["rle"]) for m in found.masks)
    return truth.keys() == drawn.keys() and all(
        iou([truth[key]], [drawn[key]])[0, 0] > 0.8 for key in truth
    )


def _together(masks: Iterable[tuple[tuple[str, int], Rle]]) -> dict[tuple[str, int], Rle]:
    """One mask for each part of each object: where it shows in pieces, all of them."""
    found: dict[tuple[str, int], list[Rle]] = {}
    for key, rle in masks:
        found.setdefault(key, []).append(rle)
    return {key: union(rles) for key, rles in found.items()}


def seed_vocabulary(out: Path, truth: Dataset, partlab: Callable[..., Any]) -> None:
    """`vocabulary seed` from a SPARQL engine that knows the objects of the world.

    `partlab` runs a command. Declared by hand: a horn lies in the head.
    """
    objects = sorted({category.object for category in truth.categories})
    with running_engine(filled=False) as engine:
        number = iter(range(9_000_001, 9_001_000))
        parts: dict[str, str] = {}
        for category in truth.categories:
            if category.part not in parts:
                parts[category.part] = engine.triples.item(f"Q{next(number)}", category.part)
        thing = engine.triples.item(f"Q{next(number)}", "thing")
        for name in objects:
            own = [parts[c.part] for c in truth.categories if c.object == name]
            engine.triples.item(f"Q{next(number)}", name, P279=thing, P527=own)
        address = ["--endpoint", engine.url, "--cache", out.parent / "cache"]
        partlab("vocabulary", "seed", ",".join(objects), "--out", out, *address)
    found = read_vocabulary(out)
    assert {p.source for o in found.objects for p in o.parts} == {"wikidata"}  # V-01
    ram = found.object("ram")
    inclusions = {ram.named("horn").id: ram.named("head").id}
    write_vocabulary(out, found.replaced([ram.model_copy(update={"inclusions": inclusions})]))
