"""More pictures in place of those whose discard is final, so that a category stays complete.

The choice goes on where it stopped: the next pictures of the seeded order (D-02, D-03). New
pictures are first noted, then prepared, then handed out; cut off anywhere, the same command
goes on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

from sqlalchemy import select

from annotate.data.sample import Chosen, ImageSource, in_seeded_order, open_images
from annotate.studio.acts.begin import prepare_images, rows_of
from annotate.work import PICTURE, Batch, Task, Work, final_discards
from annotate.work.pictures import read_pool
from annotate.work.store import IMAGES_PER_EVENT
from partlab.progress import track

REFILLED = ("planned", "annotating", "submitted")
OVER_FOR_GOOD = ("sampled", "accepted")


@dataclass(frozen=True, slots=True)
class Lack:
    """How many pictures a round lacks because discards are final.

    `spare` are ids of pictures of the work that nobody was handed yet, `unused` how many more
    its source has.
    """

    object: str
    state: str
    missing: int
    spare: tuple[int, ...] = ()
    unused: int = 0

    @property
    def refilled(self) -> bool:
        """Whether the round is at a stage where pictures may come to it."""
        return self.state in REFILLED

    @property
    def found(self) -> int:
        """How many pictures can come, if all unused ones are readable."""
        return min(self.missing, len(self.spare) + self.unused) if self.refilled else 0

    def in_words(self, added: int) -> str:
        """What is still missing after so many came, and why; nothing where all is well."""
        if not self.refilled:
            return f"{self.missing} short; pictures only come to a round that is being drawn"
        short = self.missing - added
        return f"{short} short: its source has no more pictures" if short else ""


def find_lacks(
    work: Work,
    planned: Mapping[str, Collection[int]] | None = None,
    objects: Sequence[str] = (),
) -> list[Lack]:
    """The objects that have fewer pictures than the work wants of each; changes nothing.

    `planned` are the images of rounds that are about to begin, by object; `objects` restricts
    it to those that are named.

    Raises:
        NotFoundError: more pictures are needed, and the source is not where it was.
    """
    batches = [batch for batch in work.batches() if not objects or batch.object in objects]
    states = {batch.object: batch.state for batch in batches}
    alive = {batch.object: _alive(work, batch) for batch in batches}
    for owner, ids in (planned or {}).items():
        states[owner], alive[owner] = "planned", set(ids) - work.honeypots(owner)
    wanted = work.settings.per_object
    lacks = [Lack(o, states[o], wanted - len(ids)) for o, ids in sorted(alive.items())]
    lacks = [lack for lack in lacks if lack.missing > 0]
    lacks = [lack for lack in lacks if lack.state in (*REFILLED, *OVER_FOR_GOOD)]
    needed = [lack.object for lack in lacks if lack.refilled]
    source = _source(work, needed) if needed else None
    return [_filled_in(work, lack, source) if lack.refilled else lack for lack in lacks]


def _alive(work: Work, batch: Batch) -> set[int]:
    """Images of a round that are drawn, or may still be."""
    with work.read() as session:
        gone = final_discards(session, batch.object)
    tasks = work.tasks(batch.object, batch.round)
    return {task.image_id for task in tasks if task.role == PICTURE} - gone


def _source(work: Work, objects: Collection[str]) -> ImageSource:
    """Where the work's pictures came from, by object of its vocabulary."""
    found = open_images(*read_pool(work.folder))
    owners, names = work.vocabulary.by_any_name, {owner: list[str]() for owner in objects}
    for category, files in found.names.items():
        if (owner := owners.get(category)) in names:
            names[owner] += files
    return replace(found, names=names)


def _filled_in(work: Work, lack: Lack, source: ImageSource | None) -> Lack:
    images = work.images(lack.object)
    with work.read() as session:
        used = set(session.scalars(select(Task.image_id).filter_by(object=lack.object)))
    spare = tuple(image.id for image in images if image.id not in used)
    known = {image.file_name for image in images}
    unused = len(set(source.names[lack.object]) - known) if source is not None else 0
    return replace(lack, spare=spare, unused=unused)


def refill(work: Work, who: str, objects: Sequence[str] = ()) -> dict[str, str]:
    """Bring every round that is being drawn back to its number of pictures; what is still short.

    `objects` restricts it to those that are named. The caller keeps other processes from
    handing out the work.

    Raises:
        NotFoundError: the source is not where it was.
        DatasetError: a picture that was chosen can no longer be read.
    """
    lacks = find_lacks(work, objects=objects)
    new = _register(work, [lack for lack in lacks if lack.refilled], who)
    words = {}
    for lack in lacks:
        ids = [*lack.spare, *new.get(lack.object, ())][: lack.missing] if lack.refilled else []
        if ids:
            rows = [image for image in work.images(lack.object) if image.id in ids]
            prepare_images(work.folder, rows, work.settings.long_side)
            work.record("extended", who=who, object=lack.object, data={"images": ids})
        words[lack.object] = lack.in_words(len(ids))
    return {owner: said for owner, said in words.items() if said}


def _register(work: Work, lacks: list[Lack], who: str) -> dict[str, list[int]]:
    """Choose pictures that the spare ones do not make up for, and note them as the work's."""
    lacks = [lack for lack in lacks if lack.missing > len(lack.spare) and lack.unused]
    if not lacks:
        return {}
    source = _source(work, [lack.object for lack in lacks])
    chosen = [one for lack in track(lacks, "choosing") for one in _next(work, lack, source)]
    rows = rows_of(source, chosen, work.settings.long_side)
    everything = work.images(with_honeypots=True)
    newest = max((image.id for image in everything), default=0)
    ranks: dict[str, int] = {}
    for image in everything:
        ranks[image.object] = max(image.rank, ranks.get(image.object, -1))
    for id, row in enumerate(rows, newest + 1):
        ranks[row.object] = ranks.get(row.object, -1) + 1
        row.id, row.rank = id, ranks[row.object]
    basis = work.hash_of("")
    for start in range(0, len(rows), IMAGES_PER_EVENT):
        listed = [asdict(row) for row in rows[start : start + IMAGES_PER_EVENT]]
        basis = work.record("images", who=who, data={"images": listed}, basis=basis).after
    return {lack.object: [row.id for row in rows if row.object == lack.object] for lack in lacks}


def _next(work: Work, lack: Lack, source: ImageSource) -> Iterator[Chosen]:
    """The next readable pictures of the seeded order; none whose bytes the work has already."""
    images = work.images(lack.object, with_honeypots=True)
    names = {image.file_name for image in images if image.truth is None}
    bytes_ = {image.sha256 for image in images}
    order = in_seeded_order(source, lack.object, seed=work.settings.seed, without=names)
    new = (one for one in order if one.sha256 not in bytes_)
    return islice(new, lack.missing - len(lack.spare))
