"""Which pictures with known masks become honeypots, and where among the others they stand.

`choose_honeypots` takes some images of a data set that passed inspection; their pictures go into
a batch like any others, at the places `mix` gives. Both are pure functions: the same seed makes
the same choice. `annotate.inspect.honeypots` compares what was drawn in them.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from annotate.data.split import category_rng
from partlab.errors import ConfigError
from partlab.schema import Dataset, Image

T = TypeVar("T")


def choose_honeypots(known: Dataset, per_object: int = 5, *, seed: int = 0) -> Dataset:
    """Up to `per_object` images with masks of each object category, by the seed.

    Another category more or less changes nothing for the others.

    Raises:
        ConfigError: `per_object` is below 1.
    """
    if per_object < 1:
        raise ConfigError(f"{per_object} honeypots of each category: at least 1 is needed")
    groups: defaultdict[str, list[Image]] = defaultdict(list)
    for image in known.images:
        owner = known.object_of(image)
        if owner is not None and known.annotations_of(image):
            groups[owner].append(image)
    chosen: list[int] = []
    for owner, images in groups.items():
        order = category_rng(seed, f"honeypots {owner}").permutation(len(images))
        chosen += [images[int(position)].id for position in order[:per_object]]
    return known.subset(chosen)


def mix(work: Sequence[T], honeypots: Sequence[T], *, seed: int = 0, name: str = "") -> list[T]:
    """The work in its order, with the honeypots at random places among it.

    `name` (of the category or annotator) gives each list places of its own. The honeypots are
    spread: one falls into each of as many equal stretches, so that drift shows early.
    """
    rng = category_rng(seed, f"mix {name}")
    total = len(work) + len(honeypots)
    stretch = total / max(len(honeypots), 1)
    edges = [round(number * stretch) for number in range(len(honeypots) + 1)]
    places = {
        int(rng.integers(edges[n], max(edges[n + 1], edges[n] + 1))) for n in range(len(honeypots))
    }
    order = [honeypots[int(i)] for i in rng.permutation(len(honeypots))]
    usual, special = iter(work), iter(order)
    return [next(special) if place in places else next(usual) for place in range(total)]
