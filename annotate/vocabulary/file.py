"""The vocabulary's file: YAML that people edit by hand; their comments survive our edits.

    name: farm
    version: 2
    objects:
      ram:
        wnid: n02412080
        inclusions: {horn: head}      # inner part: outer part, or [several]
        parts:
        - name: horn
          source: volunteers
          evidence: [8 of 10 votes]

A part's `id` is left out where it equals its name, and a name alone is a part.
"""

import re
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from annotate.vocabulary.comments import replace_rows, unshared
from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.parse import parse, yaml_fault
from partlab.errors import BusyError, ConfigError, NotFoundError, SchemaError
from partlab.files import is_work, write_text

WAIT_SECONDS = 30
_ESCAPED = re.compile(r"\\|  |[\x7f-\x9f\u2028\u2029\ufeff]")
"""Signs that YAML escapes: where ruamel.yaml breaks a line at one of them, it adds a space."""
_PLAIN = re.compile(r"\w(?:[\w .()'/+-]*[\w.()'/+-])?")


def read_vocabulary(path: str | Path, *, missing_ok: bool = False) -> Vocabulary:
    """Read a vocabulary; with `missing_ok` a file that is not there is an empty one.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not YAML, or not a vocabulary; the sentence says where.
    """
    path = Path(path)
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if missing_ok:
            return Vocabulary(name=path.stem)
        raise NotFoundError(
            f"no vocabulary {path}",
            hint="begin one with `partlab vocabulary seed`, or by hand: "
            "partlab vocabulary add FILE OBJECT PART... --new",
        ) from None
    except UnicodeDecodeError as error:
        raise SchemaError(f"vocabulary {path} is not UTF-8 text: {error.reason}") from error
    except (YAMLError, RecursionError, ValueError) as error:  # ValueError: as `!!int name`
        raise SchemaError(f"vocabulary {path} is not valid YAML: {yaml_fault(error)}") from None
    if not isinstance(values, dict):
        raise SchemaError(f"vocabulary {path} is not a table of names and values")
    return parse(values, path)


@contextmanager
def editing(path: str | Path) -> Iterator[None]:
    """Hold a vocabulary while it is read, changed and written, so that no edit is lost.

    Raises:
        ConfigError: it belongs to a work, whose answers would not follow.
        BusyError: another process holds it for over half a minute.
    """
    path = Path(path)
    if path.name == "vocabulary.yaml" and is_work(path.parent):
        raise ConfigError(
            f"{path} is a work's own vocabulary",
            hint="copy it, change the copy, and let the work follow: partlab vocabulary migrate "
            f"{path.parent} COPY",
        )
    if not path.parent.is_dir():  # nothing to hold yet
        yield
        return
    try:
        with FileLock(path.parent / f".{path.name}.lock", timeout=WAIT_SECONDS):
            yield
    except Timeout:
        raise BusyError(
            f"another partlab process is changing {path}", hint="run the same command again"
        ) from None


def write_vocabulary(
    path: str | Path,
    vocabulary: Vocabulary,
    like: str | Path | None = None,
    *,
    anew: bool = False,
) -> None:
    """Write a vocabulary, atomically; comments and layout of an existing file stay.

    `like` is the file whose comments are taken over, where it is not the one written; `anew`
    takes over none.
    """
    yaml = YAML()
    escapes = _ESCAPED.search(vocabulary.model_dump_json())
    yaml.width, yaml.preserve_quotes = 1 << 20 if escapes else 100, True
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    document = CommentedMap() if anew else _existing(yaml, Path(like or path))
    _put_head(document, vocabulary)
    if not isinstance(document.get("objects"), CommentedMap):
        document["objects"] = CommentedMap()
    _put_objects(document["objects"], vocabulary.objects)
    changes = [_lean(change) for change in vocabulary.changes]
    if changes:
        document["changes"] = _rows(changes, document.get("changes"))
    else:
        document.pop("changes", None)
    text = StringIO()
    yaml.dump(document, text)
    write_text(path, text.getvalue())


def _existing(yaml: YAML, path: Path) -> CommentedMap:
    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, YAMLError, RecursionError):
        found = None
    return unshared(found) if isinstance(found, CommentedMap) else CommentedMap()


def _put_head(document: CommentedMap, vocabulary: Vocabulary) -> None:
    """Name, version and language, above the objects."""
    values = vocabulary.model_dump(include={"name", "version", "language"})
    for place, (key, value) in enumerate(values.items()):
        if key not in document:
            document.insert(min(place, len(document)), key, _quoted(value))
        elif document[key] != value:
            document[key] = _quoted(value)


def _put_objects(table: CommentedMap, objects: Sequence[ObjectParts]) -> None:
    names = {one.name for one in objects}
    for gone in [name for name in table if str(name) not in names]:
        del table[gone]
    for one in objects:
        if one.name not in table:
            table[_quoted(one.name)] = CommentedMap()
        elif _says(table[one.name], one):
            continue
        table[one.name] = _entry(table[one.name], one)


def _says(entry: Any, one: ObjectParts) -> bool:
    """Whether the file has the object so already, in whatever form."""
    try:
        return parse({"objects": {one.name: entry}}, Path()).objects == (one,)
    except SchemaError:
        return False


def _entry(entry: Any, one: ObjectParts) -> Any:
    """The object as it is written: a mere list of parts stays one where that says all."""
    facts = {
        **one.model_dump(include={"wnid", "qid", "note", "inclusions"}),
        "aliases": list(one.aliases),
    }
    rows = [_lean(part) for part in one.parts]
    if isinstance(entry, CommentedSeq):
        if not any(facts.values()):
            return _rows(rows, entry)
        entry.ca.comment = None  # it stands behind the object's name too
        entry = CommentedMap(parts=entry)
    elif not isinstance(entry, CommentedMap):
        entry = CommentedMap()
    _put(entry, facts)
    if rows != entry.get("parts"):
        entry["parts"] = _rows(rows, entry.get("parts"))
    return entry


def _put(table: MutableMapping[str, Any], values: dict[str, Any]) -> None:
    """Set keys, touching only those that differ; empty values are taken out."""
    for key, value in values.items():
        if value in (None, (), [], {}, ""):
            table.pop(key, None)
        elif table.get(key) != value:
            table[key] = _on_one_line(value)


def _on_one_line(value: Any) -> Any:
    """Lists and tables inside a record are written `[a, b]` and `{a: b}`."""
    if isinstance(value, dict):
        inline: Any = CommentedMap({_quoted(key): _on_one_line(one) for key, one in value.items()})
    elif isinstance(value, list | tuple):
        inline = CommentedSeq(map(_on_one_line, value))
    else:
        return _quoted(value)
    inline.fa.set_flow_style()
    return inline


def _quoted(value: Any) -> Any:
    """In quotes what ruamel.yaml would write bare and not read again, such as `?a`."""
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def _rows(rows: list[dict[str, Any]], old: Any) -> CommentedSeq:
    """A list of records; those that stay keep their comments."""
    return replace_rows(old, rows, _key, _fill)


def _fill(row: CommentedMap, values: dict[str, Any]) -> None:
    by_default = row and "source" not in row and values.get("source") == "manual"
    for gone in [key for key in row if key not in values]:
        del row[gone]
    _put(row, {key: value for key, value in values.items() if key != "source" or not by_default})


def _key(row: Any) -> Any:
    """What a record is known by: a part by its id, a change by its version and place."""
    if isinstance(row, str):
        return row
    if "version" in row:
        return (row["version"], row.get("object"), tuple(row.get("before", ())))
    return row.get("id", row.get("name"))


def _lean(record: Part | Change) -> dict[str, Any]:
    """The fields that say something: no empty ones, no id that equals the name."""
    values = {key: value for key, value in record.model_dump(mode="json").items() if value}
    if values.get("id") == values.get("name"):
        values.pop("id", None)
    return values
