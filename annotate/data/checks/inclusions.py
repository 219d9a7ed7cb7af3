"""Rules on declared inclusions, small part -> larger part (M-04)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from annotate.data.checks.kinds import KINDS
from annotate.data.checks.settings import CheckSettings
from partlab.inclusions import circles, pairs_of
from partlab.schema import Dataset, Finding


def inclusion_findings(
    dataset: Dataset, areas: Mapping[int, Sequence[int]], settings: CheckSettings
) -> Iterator[Finding]:
    """Self links, circles, unknown names, swapped directions.

    `areas` holds the mask areas of each category id, in pixels.
    """
    label = {(c.object, c.part): c.id for c in dataset.categories}
    for owner, pairs in dataset.inclusions.items():
        for inner, outer in pairs_of(pairs):
            link = f"{owner}: {inner} -> {outer}"
            unknown = [part for part in (inner, outer) if (owner, part) not in label]
            if unknown:
                what = f"{link}: no part {unknown[0]!r}"
                yield KINDS["inclusion_unknown"].at(what)
            elif inner == outer:
                yield KINDS["inclusion_self"].at(link, category=label[owner, inner])
            else:
                small, large = (list(areas.get(label[owner, p], ())) for p in (inner, outer))
                enough = min(len(small), len(large)) >= settings.swapped_masks
                if enough and median(small) > median(large):
                    what = f"{link}: median {median(small):.0f} px against {median(large):.0f}"
                    yield KINDS["inclusion_swapped"].at(what, category=label[owner, inner])
        for circle in circles(pairs):
            if len(circle) > 2:  # in itself: said above
                yield KINDS["inclusion_cycle"].at(f"{owner}: {' -> '.join(circle)}")


class Areas:
    """Gathers mask areas by category, for the size comparison."""

    def __init__(self, dataset: Dataset) -> None:
        named = {
            (o, p) for o, ps in dataset.inclusions.items() for pair in pairs_of(ps) for p in pair
        }
        self.wanted = {c.id for c in dataset.categories if (c.object, c.part) in named}
        self.of: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, category_id: int, pixels: int) -> None:
        """Note one mask, if its category takes part in an inclusion."""
        if category_id in self.wanted:
            self.of[category_id].append(pixels)
