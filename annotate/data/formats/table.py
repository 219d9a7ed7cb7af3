"""What each category of a foreign file is: said by a table, by `--object`, or by its own name.

The table is a .csv with the columns category, object and part: an empty part is the whole object,
an empty object leaves the category out. `proposal` writes one to edit.
"""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from annotate.data.renaming import Name, renamed
from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.objects import require_names, require_objects, without_object
from partlab.parts import folded
from partlab.schema import Category, Dataset

log = logging.getLogger(__name__)

_COLUMNS = ("category", "object", "part")
_BETWEEN = ("/", "__", ".", "_", "-", " ")


def read_table(path: Path) -> dict[str, Name]:
    """Category (its name, or its id) -> (object, part).

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is no table of these columns, names a category twice, or an object with
            a colon.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"no table {path}") from None
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text: {error.reason}") from error
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head else ",")
    if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise SchemaError(
            f"{path} has no column {missing[0]!r}",
            hint="its columns are category, object, part; an import with --dry-run writes one",
        )
    found: dict[str, Name] = {}
    for row in rows:
        key, owner, part = ((row[name] or "").strip() for name in _COLUMNS)
        if ":" in owner:
            raise SchemaError(
                f"{path} names the object {owner!r} for the category {key!r}: a colon separates "
                "object and part",
                hint="write the object without a colon",
            )
        if found.setdefault(key, (owner, part)) != (owner, part):
            raise SchemaError(f"{path} names the category {key!r} twice")
    return found


def named(
    found: Mapping[str, Dataset], *, object: str | None, table: Mapping[str, Name] | None
) -> dict[str, Dataset]:
    """The data sets with their categories named by the table, or by their one object.

    Raises:
        ConfigError: `object` is given, and the categories name several objects already.
        SchemaError: the table names a category that no data set has.
    """
    rows = dict(table or {})
    known = {key for one in found.values() for c in one.categories for key in _keys(c)}
    if strange := [key for key in rows if key not in known]:
        raise SchemaError(
            f"the table names the category {strange[0]!r}, which the data does not have",
            hint="write one to edit: the same command with --dry-run and without --names",
        )
    return {split: _named(data, rows, object) for split, data in found.items()}


def _keys(category: Category) -> tuple[str, str]:
    return str(category.raw.get("name", "")), str(category.id)


def _named(data: Dataset, rows: Mapping[str, Name], object: str | None) -> Dataset:
    names: list[Name | None] = []
    free = set(map(id, _for_object(data, object))) if object is not None else set()
    for category in data.categories:
        said = next((rows[key] for key in _keys(category) if key in rows), None)
        if said is None and object is not None and id(category) in free:
            part = category.part
            said = (object, "" if folded(part) == folded(object) else part)
        names.append(said)
    return renamed(data, names)


def _for_object(data: Dataset, object: str) -> Sequence[Category]:
    """The categories that `object` is meant for: those without one, or all of the only one."""
    alone = without_object(data.categories)
    if not alone and len(data.objects) > 1:
        raise ConfigError(
            f"the categories name {len(data.objects)} objects already: "
            f"{', '.join(data.objects[:5])}",
            hint="leave out --object, or give each its name with --names",
        )
    return alone or data.categories


def require_usable(found: Iterable[Dataset]) -> None:
    """Refuse what no reader would take (see `partlab.objects`)."""
    for dataset in found:
        require_objects(dataset)
        require_names(dataset)


def proposal(found: Iterable[Dataset]) -> list[dict[str, str]]:
    """One row a category: what it would be taken for; an empty object is for a person to fill."""
    masks: Counter[str] = Counter()
    categories: dict[str, Category] = {}
    alone: dict[str, None] = {}
    for data in found:
        for category in data.categories:
            categories.setdefault(_keys(category)[0], category)
        names = {category.id: _keys(category)[0] for category in data.categories}
        masks.update(names[a.category_id] for a in data.annotations if a.category_id in names)
        alone |= dict.fromkeys(_keys(c)[0] for c in without_object(data.categories))
    guesses = _guessed(list(alone))
    rows = []
    for name, category in categories.items():
        owner, part = guesses.get(name, (category.object, category.part))
        part = "" if category.whole_object and name not in guesses else part
        row = dict(zip(_COLUMNS, (name, owner, part), strict=True))
        rows.append({**row, "masks": str(masks[name])})
    return rows


def _guessed(names: Sequence[str]) -> dict[str, Name]:
    """Split where all names have the same sign between two words and some share the first."""
    for sign in _BETWEEN:
        pairs = {name: name.partition(sign)[::2] for name in names}
        owners = {owner for owner, _ in pairs.values()}
        if len(owners) < len(names) and all(owner and part for owner, part in pairs.values()):
            return {name: (owner.strip(), part.strip()) for name, (owner, part) in pairs.items()}
    return {name: ("", name) for name in names}


def as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """The table as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_COLUMNS, "masks"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
