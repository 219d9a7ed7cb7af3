"""From a file's values to a vocabulary; what is wrong in it in one sentence that says where."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml.error import MarkedYAMLError

from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from partlab.errors import SchemaError, UnknownNameError

QUOTE = "write what YAML takes for a number, a date or nothing in quotes, as '7'"
_WORDS = {
    "dict_type": "it is not a table",
    "extra_forbidden": "there is no such field",
    "missing": "it is missing",
    "model_type": "it is neither a name nor a table",
    "string_too_short": "it is empty",
    "string_type": "it is no text",
    "tuple_type": "it is not a list",
}


_MODELS: dict[tuple[int | str, int], type[BaseModel]] = {
    ("objects", 3): ObjectParts,
    ("objects", 5): Part,
    ("changes", 3): Change,
}  # which table has a field, by where and how deep it is


def yaml_fault(error: Exception) -> str:
    """Line and problem, without the parser's excerpts and advice."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if not isinstance(error, MarkedYAMLError) or error.problem is None:
        return " ".join(str(error).split())
    problem = " ".join(error.problem.partition(" with value ")[0].split())
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def parse(values: dict[str, Any], path: Path) -> Vocabulary:
    """The vocabulary that a file's values say.

    Raises:
        SchemaError: they say none; the sentence names the object category and the field.
    """
    objects = values.pop("objects", None) or {}
    if not isinstance(objects, dict):
        raise SchemaError(
            f"vocabulary {path}: `objects` is not a table of object categories",
            hint="write each one under `objects:`, as `  ram:` with its `parts:` below",
        )
    listed = [_named(name, one, path) for name, one in objects.items()]
    try:
        return Vocabulary.model_validate({**values, "objects": listed})
    except ValidationError as error:
        raise _problem(error, listed, path) from None


def _named(name: Any, values: Any, path: Path) -> dict[str, Any]:
    """One object category's values; a mere list is that of its parts."""
    if not isinstance(name, str):
        raise SchemaError(f"vocabulary {path}: the object category {name!r} is no text", hint=QUOTE)
    values = {"parts": values} if isinstance(values, list) else values or {}
    if not isinstance(values, dict):
        raise SchemaError(
            f"vocabulary {path}: objects.{name} is not a table", hint="write its `parts:` below it"
        )
    return {**values, "name": name}


def _problem(error: ValidationError, listed: list[dict[str, Any]], path: Path) -> SchemaError:
    """The first problem in words, with object names in place of positions."""
    problem = min(error.errors(include_context=False), key=lambda one: one["loc"][-1:] == ("id",))
    where = list(problem["loc"])
    if where[:1] == ["objects"] and len(where) > 1:
        where[1] = listed[int(where[1])]["name"]
    kind, place = problem["type"], ".".join(map(str, where))
    words = _WORDS.get(kind, problem["msg"].removeprefix("Value error, "))
    stated = f"vocabulary {path}: {words if kind == 'value_error' else f'{place}: {words}'}"
    hint = QUOTE if kind == "string_type" else None
    if kind == "extra_forbidden":
        model = _MODELS.get((where[0], len(where)), Vocabulary)
        hint = UnknownNameError("field", str(where[-1]), model.model_fields).hint
    return SchemaError(stated, hint=hint)
