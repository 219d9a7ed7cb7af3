"""The vocabulary: for each object category its parts, with source, evidence and lineage."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from partlab.config import Config
from partlab.errors import UnknownNameError
from partlab.files import sha256_json
from partlab.inclusions import (
    Inclusions,
    Outer,
    circles,
    is_inclusions,
    merged,
    pairs_of,
    spelled,
)
from partlab.parts import Parts, join_name

Source = Literal["wikidata", "wordnet", "volunteers", "whole-object", "function-or-shape", "manual"]
"""Who says that the object has this part (V-01); "manual" is an edit by hand."""

Operation = Literal["add", "rename", "merge", "split", "remove", "include", "exclude"]


class Part(Config):
    """One part of one object category; in a file its name alone will do.

    `id` is given once, stays through renames, and is never used again in its object; `name`
    is what annotators read. `origin` holds the ids of the parts it was made from (V-07).
    `definition` says in the lead's words what belongs to it, `example` names a picture of it,
    beside the file or by its full path; annotators see both.
    `remark` is what people say of it among themselves.
    """

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    source: Source = "manual"
    evidence: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    definition: str = ""
    example: str = ""
    remark: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named_by_default(cls, values: object) -> object:
        values = {"name": values} if isinstance(values, str) else values
        if isinstance(values, dict) and "id" not in values and "name" in values:
            return {**values, "id": str(values["name"])}
        return values


class ObjectParts(Config):
    """An object category and its parts.

    `inclusions` is inner part id -> outer part id, or a list of several (M-04). `note` is what its
    annotators are to mind, in the lead's words; they do not see the `remark`.
    """

    name: str = Field(min_length=1)
    wnid: str | None = None
    qid: str | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""
    remark: str = ""
    parts: tuple[Part, ...] = ()
    inclusions: dict[str, Outer] = Field(default_factory=dict)

    @field_validator("inclusions", mode="before")
    @classmethod
    def _in_simplest_form(cls, values: object, info: ValidationInfo) -> object:
        for inner, outer in values.items() if isinstance(values, dict) else ():
            if not is_inclusions({inner: outer}):
                raise ValueError(
                    f"object {info.data.get('name')!r}: the inclusion {inner} = {outer!r} is "
                    "neither the id of a part nor a list of such"
                )
        return spelled(pairs_of(values)) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for what, values in (("id", [p.id for p in self.parts]), ("name", self.names)):
            if twice := sorted(v for v, count in Counter(values).items() if count > 1):
                raise ValueError(f"object {self.name!r} has two parts of {what} {twice[0]!r}")
        for inner, outer in pairs_of(self.inclusions):
            for part in (inner, outer):
                if part not in self.ids:
                    raise ValueError(
                        f"object {self.name!r}: the inclusion {inner} = {outer} names "
                        f"{part!r}, which is not the id of one of its parts"
                    )
        if found := circles(self.inclusions):
            raise ValueError(
                f"object {self.name!r}: the inclusions go in a circle: {' in '.join(found[0])}"
            )
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """Part ids, in the order of the file."""
        return tuple(part.id for part in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Part names, in the order of the file."""
        return tuple(part.name for part in self.parts)

    @property
    def categories(self) -> Parts:
        """The part categories `object:part`, labelled in the order of the file."""
        name = {part.id: part.name for part in self.parts}
        pairs = spelled((name[inner], name[outer]) for inner, outer in pairs_of(self.inclusions))
        names = tuple(join_name(self.name, part.name) for part in self.parts)
        return Parts(names, {self.name: pairs} if pairs else {})

    @property
    def seen(self) -> list[Any]:
        """What annotators see: part ids and names in their order, inclusions, the lead's words."""
        parts = [[part.id, part.name] for part in self.parts]
        words = [[p.id, p.definition, p.example] for p in self.parts if p.definition or p.example]
        told = [self.note, words] if self.note or words else []  # without, as it always was
        return [self.name, parts, self.inclusions, *told]

    @property
    def whole_object(self) -> bool:
        """True when the object itself is its only part (V-04)."""
        return len(self.parts) == 1 and self.parts[0].source == "whole-object"

    def part(self, id: str) -> Part:
        """The part of this id.

        Raises:
            UnknownNameError: the object has none.
        """
        return self._find(id, {part.id: part for part in self.parts})

    def named(self, name: str) -> Part:
        """The part of this name.

        Raises:
            UnknownNameError: the object has none.
        """
        return self._find(name, {part.name: part for part in self.parts})

    def _find(self, key: str, parts: Mapping[str, Part]) -> Part:
        if key not in parts:
            raise UnknownNameError(f"part of {self.name}", key, parts)
        return parts[key]


class Change(Config):
    """One edit of the vocabulary, kept for ever: what a migration of annotations goes by (V-07).

    `before` and `after` are part ids: a rename has the same id on both sides, a split one
    before and several after, a merge several before and one after. `include` and `exclude` change
    no part: `after` is the inner part and the outer, which it lies in from now on or no longer.
    """

    version: int
    operation: Operation
    object: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    who: str = ""
    at: str = ""
    note: str = ""


class Vocabulary(Config):
    """All object categories with their parts; `version` counts its changes."""

    name: str = "vocabulary"
    version: int = Field(1, ge=1)
    language: str = "en"
    objects: tuple[ObjectParts, ...] = ()
    changes: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        counts = Counter(one.name for one in self.objects)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"object category {twice[0]!r} stands in it twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Object categories, in the order of the file."""
        return tuple(one.name for one in self.objects)

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part name -> outer part name or names, as data sets do."""
        return merged(one.categories.inclusions for one in self.objects)

    @property
    def hash(self) -> str:
        """Hex SHA-256 of what annotators see of all objects, in their order."""
        return sha256_json([one.seen for one in self.objects])

    @property
    def by_any_name(self) -> dict[str, str]:
        """Object name by name, wnid, QID and alias; a name goes before others' aliases."""
        found: dict[str, str] = {}
        for one in self.objects:
            for key in (one.wnid, one.qid, *one.aliases):
                if key:
                    found.setdefault(key, one.name)
        return found | {name: name for name in self.names}

    def object(self, name: str) -> ObjectParts:
        """The object category of this name.

        Raises:
            UnknownNameError: the vocabulary has none.
        """
        for one in self.objects:
            if one.name == name:
                return one
        raise UnknownNameError("object category", name, self.names)

    def replaced(self, objects: Iterable[ObjectParts], *changes: Change) -> "Vocabulary":
        """This vocabulary with these objects in place of those of the same name.

        New names go to the end. With `changes`, they are recorded and the version becomes the
        last one's.
        """
        given = {one.name: one for one in objects}
        kept = [given.pop(one.name, one) for one in self.objects]
        return Vocabulary(
            name=self.name,
            version=changes[-1].version if changes else self.version,
            language=self.language,
            objects=(*kept, *given.values()),
            changes=(*self.changes, *changes),
        )
