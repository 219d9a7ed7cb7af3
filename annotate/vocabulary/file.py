"""The vocabulary's file: YAML that people edit by hand, as we do.

    name: farm
    version: 2
    objects:
      ram:
        wnid: n02412080
        inclusions: {horn: head}      # inner part: outer part, or [several]
        parts:
        - head
        - name: horn
          source: volunteers
          evidence: [8 of 10 votes]
          remark: contested

A part's `id` is left out where it equals its name, and a name alone is a part. What people want
to say of a part or an object among themselves is its `remark`.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.parse import parse, yaml_fault
from annotate.vocabulary.remarks import has_comments, take_remarks
from partlab.errors import BusyError, ConfigError, NotFoundError, SchemaError
from partlab.files import write_text
from partlab.folders import is_work

log = logging.getLogger(__name__)

WAIT_SECONDS = 30
_ESCAPED = re.compile(r"\\|  |[\x7f-\x9f\u2028\u2029\ufeff]")
"""Signs that YAML escapes: where ruamel.yaml breaks a line at one of them, it adds a space."""
_PLAIN = re.compile(r"\w(?:[\w .;()'/+-]*[\w.()'/+-])?")


def read_vocabulary(path: str | Path, *, missing_ok: bool = False) -> Vocabulary:
    """Read a vocabulary; with `missing_ok` a file that is not there is an empty one.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not YAML, or not a vocabulary; the sentence says where.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = YAML(typ="safe").load(text)
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
    if isinstance(values.get("objects"), dict):
        take_remarks(text, values)
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


def write_vocabulary(path: str | Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary, atomically. Comments of a file that is replaced are not kept, but told.

    Those beside a part or an object were read as its `remark`.
    """
    if stray := _stray_comments(Path(path)):
        log.warning(
            "%s: comments beside no part or object are not kept (%d); a `remark` would be",
            path,
            stray,
        )
    yaml = YAML()
    escapes = _ESCAPED.search(vocabulary.model_dump_json())
    yaml.width = 1 << 20 if escapes else 100
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    document = CommentedMap()
    for name in ("name", "version", "language"):
        document[name] = _quoted(getattr(vocabulary, name))
    document["objects"] = CommentedMap((_quoted(o.name), _entry(o)) for o in vocabulary.objects)
    if vocabulary.changes:
        document["changes"] = [_record(change) for change in vocabulary.changes]
    text = StringIO()
    yaml.dump(document, text)
    write_text(path, text.getvalue())


def _stray_comments(path: Path) -> int:
    """How many comments of a file would be lost."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = YAML(typ="safe").load(text) if has_comments(text) else None
        return take_remarks(text, values) if isinstance(values, dict) else 0
    except (OSError, UnicodeDecodeError, YAMLError, RecursionError, ValueError):
        return 0  # no vocabulary


def _entry(one: ObjectParts) -> CommentedMap:
    """One object category; a part of which only the name is to be said is that name."""
    facts = one.model_dump(mode="json", exclude={"name", "parts"})
    entry = CommentedMap((key, _on_one_line(value)) for key, value in facts.items() if value)
    rows = [_record(part) for part in one.parts]
    if rows:
        entry["parts"] = [row["name"] if [*row] == ["name"] else row for row in rows]
    return entry


def _record(record: Part | Change) -> CommentedMap:
    """The fields that say something: no empty ones, no defaults, no id that equals the name."""
    values = record.model_dump(mode="json", exclude_defaults=True)
    if values.get("id") == values.get("name"):
        values.pop("id", None)
    names = [name for name in type(record).model_fields if values.get(name)]
    order = sorted(names, key=lambda name: name != "name")
    return CommentedMap((name, _on_one_line(values[name])) for name in order)


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
