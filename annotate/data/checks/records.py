"""Rules on records and names: no mask is decoded, no picture opened."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from annotate.data.checks.crowds import crowd_findings
from annotate.data.checks.kinds import KINDS
from annotate.data.checks.spelling import spelling_findings
from annotate.data.formats.pictures import is_safe_name
from partlab.counts import counted
from partlab.objects import without_object
from partlab.schema import OURS, Annotation, Category, Dataset, Finding
from partlab.spelling import whole

PLACEHOLDER = re.compile(
    r"(|\W+|\d+|name|part|category|class|label|object_?name|unnamed|unknown|untitled|placeholder|"
    r"todo|tbd|none|null|nan|n/?a|xxx+|test|dummy|default|(part|category|class|label)[ _-]?\d+)",
    re.IGNORECASE,
)
_MODELS = ("model-assisted", "pseudo")
PROVENANCE = re.compile(r"human|human-reused|(human|model-assisted|pseudo):.+", re.DOTALL)


def record_findings(dataset: Dataset, *, human_only: bool = False) -> Iterator[Finding]:
    """Ids, names, links and flags; with `human_only` also whatever a model had a hand in."""
    yield from _broken(dataset)
    yield from _duplicates(dataset)
    yield from _images(dataset)
    yield from _annotations(dataset)
    yield from crowd_findings(dataset)
    yield from _discards(dataset)
    yield from _categories(dataset)
    yield from spelling_findings(dataset)
    yield from _counts(dataset)
    yield from _annotators(dataset)
    if human_only:
        yield from _model_made(dataset)


def _broken(dataset: Dataset) -> Iterator[Finding]:
    for entry in dataset.broken:
        place = f"{entry.get('list', '?')}[{entry.get('position', '?')}]"
        record = entry.get("record")
        shown = f" ({record})" if isinstance(record, str) else ""
        yield KINDS["unreadable_record"].at(f"{place}{shown} {entry.get('reason', '')}")


def _twice(records: Iterable[Any], key: Any) -> Iterator[tuple[Any, Any]]:
    """(first, repeated) records of equal key."""
    first: dict[Hashable, Any] = {}
    for record in records:
        before = first.setdefault(key(record), record)
        if before is not record:
            yield before, record


def _duplicates(dataset: Dataset) -> Iterator[Finding]:
    for first, image in _twice(dataset.images, lambda i: i.id):
        same = first.raw == image.raw
        what = f"shares its id with {first.file_name}"
        yield KINDS["duplicate_image_id"].at(what, image=image, fixable=same)
    for first, image in _twice(dataset.images, lambda i: i.file_name):
        if first.id != image.id:
            what = f"the same file as image {first.id}"
            yield KINDS["duplicate_file_name"].at(what, image=image)
    for _, annotation in _twice(dataset.annotations, lambda a: a.id):
        yield KINDS["duplicate_annotation_id"].at("its id is taken", annotation=annotation)
    for first, category in _twice(dataset.categories, lambda c: c.id):
        what = f"{category.name} and {first.name} share the id {category.id}"
        yield KINDS["duplicate_category_id"].at(what, category=category.id)
    for first, category in _twice(dataset.categories, lambda c: c.name):
        if first.id != category.id:
            what = f"categories {first.id} and {category.id} are both {category.name}"
            yield KINDS["duplicate_category"].at(what, category=category.id)


def _images(dataset: Dataset) -> Iterator[Finding]:
    discarded = {discard.raw.get("file_name") for discard in dataset.discards}
    alone = {category.id for category in without_object(dataset.categories)}
    broken = _of_broken(dataset, "annotations", "image_id")
    for image in dataset.images:
        if min(image.width, image.height) < 1:
            what = f"stated size {image.width} x {image.height}"
            yield KINDS["bad_size"].at(what, image=image)
        if not is_safe_name(image.file_name):
            yield KINDS["unsafe_file_name"].at("points outside the data set", image=image)
        annotations = dataset.annotations_of(image)
        excused = image.file_name in discarded or str(image.provenance).startswith("pseudo")
        if not annotations and not excused and image.id not in broken:
            yield KINDS["no_parts"].at("has no mask and was not discarded", image=image)
        owners = {a.id: None if a.category_id in alone else _owner(dataset, a) for a in annotations}
        present = {owner for owner in owners.values() if owner is not None}
        if image.object is None and len(present) > 1:
            what = f"shows parts of {', '.join(sorted(present))}"
            yield KINDS["mixed_objects"].at(what, image=image)
        for a in annotations if present - {image.object} else ():
            if image.object is not None and owners[a.id] not in (None, image.object):
                what = f"{dataset.category_by_id[a.category_id].name} in an image of {image.object}"
                yield KINDS["foreign_part"].at(what, image=image, annotation=a)


def _owner(dataset: Dataset, annotation: Annotation) -> str | None:
    category = dataset.category_by_id.get(annotation.category_id)
    return category.object if category else None


def _annotations(dataset: Dataset) -> Iterator[Finding]:
    lost = _of_broken(dataset, "images", "id")
    for a in dataset.annotations:
        image = dataset.image_by_id.get(a.image_id)
        if image is None and a.image_id not in lost:
            what = f"there is no image {a.image_id}"
            yield KINDS["unknown_image"].at(what, annotation=a)
        if a.category_id not in dataset.category_by_id:
            what = f"there is no category {a.category_id}"
            yield KINDS["unknown_category"].at(what, image=image, annotation=a)
        score = a.score
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            yield KINDS["bad_score"].at(f"score {score!r}", image=image, annotation=a)
        if not isinstance(a.provenance, str) or not PROVENANCE.fullmatch(a.provenance):
            what = f"provenance {a.provenance!r}"
            yield KINDS["unknown_provenance"].at(what, image=image, annotation=a)


def _of_broken(dataset: Dataset, name: str, key: str) -> set[Any]:
    """Ids in records set aside: that these are lost is told once, not again for what they leave."""
    records = [e.get("record") for e in dataset.broken if str(e.get("list")).endswith(name)]
    return {whole(r[key]) for r in records if isinstance(r, dict) and isinstance(r.get(key), _ID)}


_ID = int | float | str


def _discards(dataset: Dataset) -> Iterator[Finding]:
    discarded = {d.raw.get("file_name") for d in dataset.discards}
    for image in dataset.images if discarded else ():
        if image.file_name in discarded and dataset.annotations_of(image):
            yield KINDS["discard_annotated"].at("discarded, and has masks", image=image)


def _categories(dataset: Dataset) -> Iterator[Finding]:
    used = {a.category_id for a in dataset.annotations}
    for category in dataset.categories:
        if _is_placeholder(category):
            what = f"category {category.id} is called {category.name!r}"
            yield KINDS["placeholder_name"].at(what, category=category.id)
        if ":" in str(stated := category.supercategory).strip(": "):
            what = f"category {category.id} belongs to {stated!r}"
            yield KINDS["ambiguous_name"].at(what, category=category.id)
        if category.id not in used:
            what = f"category {category.id} ({category.name}) has no mask"
            yield KINDS["unused_category"].at(what, category=category.id)


def _is_placeholder(category: Category) -> bool:
    return any(PLACEHOLDER.fullmatch(word.strip()) for word in (category.object, category.part))


def _counts(dataset: Dataset) -> Iterator[Finding]:
    """A discarded image was sampled, too; another one may stand in its place."""
    counts = Counter(dataset.object_of(image) for image in dataset.images)
    counts.pop(None, None)
    there = {image.file_name for image in dataset.images}
    discards = {d.raw.get("file_name"): d.object for d in dataset.discards}
    sampled = counts + Counter(o for name, o in discards.items() if o and name not in there)
    if not counts:
        return
    (most, high), (least, low) = counts.most_common()[0], sampled.most_common()[-1]
    if high - low > 1:  # 1 is what splitting leaves
        gone = f" and {low - counts[least]} discarded" if low > counts[least] else ""
        what = f"{most} has {counted(high, 'image')}, {least} has {counts[least]}{gone}"
        yield KINDS["unequal_counts"].at(what)


def _annotators(dataset: Dataset) -> Iterator[Finding]:
    people: defaultdict[str, set[str]] = defaultdict(set)
    for a in dataset.annotations:
        owner = _owner(dataset, a)
        if owner is not None and str(a.provenance).startswith("human:"):
            people[owner].add(a.provenance)
    for owner, who in people.items():
        if len(who) > 1:
            what = f"{owner} was drawn by {', '.join(sorted(who))}"
            yield KINDS["several_annotators"].at(what)


def _model_made(dataset: Dataset) -> Iterator[Finding]:
    """Masks of a model, and images drawn while a model's suggestion was shown (D-05)."""
    for image in dataset.images:
        if shown := image.raw.get(OURS, {}).get("suggested_by"):
            what = f"its annotator was shown what {shown} suggested"
            yield KINDS["model_made"].at(what, image=image)
        elif str(image.provenance).startswith(_MODELS):
            yield KINDS["model_made"].at(f"provenance {image.provenance!r}", image=image)
    for a in dataset.annotations:
        if str(a.provenance).startswith(_MODELS):
            image_of = dataset.image_by_id.get(a.image_id)
            what = f"provenance {a.provenance!r}"
            yield KINDS["model_made"].at(what, image=image_of, annotation=a)
