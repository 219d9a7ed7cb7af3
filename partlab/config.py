"""Settings: frozen, typed, saved with the run. Defaults < file < `--set name=value`."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from partlab.errors import ConfigError, NotFoundError, UnknownNameError


class Config(BaseModel):
    """Base of every settings object; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Decides:
    """What a setting decides besides the result, as in `workers: Annotated[int, SPEED]`."""

    what: str


SPEED = Decides("speed")
"""Marks a setting that changes how long work takes and nothing of what it gives."""


def deciding(config: BaseModel) -> dict[str, Any]:
    """The settings that decide the result, ready for JSON: what must not change in a run.

    Those marked `SPEED` are left out, at any depth.
    """
    values = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        each = getattr(config, name)
        if SPEED in field.metadata:
            del values[name]
        elif isinstance(each, BaseModel):
            values[name] = deciding(each)
    return values


def load_config(
    kind: type[C],
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> C:
    """Build settings of `kind`: `base` (a recipe) < TOML or JSON file < `a.b=c` overrides.

    Raises:
        NotFoundError: the file does not exist.
        ConfigError: a key is unknown (near names are given) or a value does not fit.
    """
    values = _merged(base or {}, _read(Path(path)) if path else {})
    for override in overrides:
        _assign(values, override)
    return validate(kind, values, str(path or "--set"))


def validate(kind: type[C], values: dict[str, Any], where: str) -> C:
    """Check `values` against `kind`; the first problem becomes one clear ConfigError."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = UnknownNameError("setting", name, _names(kind)).hint
            raise ConfigError(f"unknown setting {name!r} in {where}", hint=hint) from None
        which = f"setting {name!r}" if name else "settings"
        raise ConfigError(f"{which} in {where}: {_words(problem['msg'])}") from None


def _words(message: str) -> str:
    """Without pydantic's word for an error of our own."""
    return message.removeprefix("Value error, ")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise NotFoundError(f"no settings file {path}") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read settings file {path}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"settings file {path} is not an object of names and values")
    return values


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _assign(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {override!r} is not of the form name=value")
    *parents, last = name.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} is a single value")
    try:
        values[last] = json.loads(text)
    except json.JSONDecodeError:
        values[last] = text


def _names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{prefix}{name}.")
    return names


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within settings by their dotted names, as `--set` takes them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found
