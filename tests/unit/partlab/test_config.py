"""Settings: defaults < file < --set; unknown names are refused with near ones."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from partlab.config import SPEED, Config, deciding, load_config, validate
from partlab.errors import ConfigError, NotFoundError


class Inner(Config):
    rate: float = 0.1
    name: str = "x"


class Outer(Config):
    steps: int = 5
    inner: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)


def test_defaults_then_file_then_overrides(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text("steps = 7\n[inner]\nrate = 0.2\n")
    assert load_config(Outer) == Outer()
    assert load_config(Outer, toml) == Outer(steps=7, inner=Inner(rate=0.2))
    found = load_config(Outer, toml, ["inner.rate=0.3", "inner.name=new = old", "sizes=[3]"])
    assert found == Outer(steps=7, inner=Inner(rate=0.3, name="new = old"), sizes=(3,))
    saved = tmp_path / "a.json"
    saved.write_text(found.model_dump_json())
    assert load_config(Outer, saved) == found


@pytest.mark.parametrize(
    ("override", "words", "hint"),
    [
        ("step=3", "unknown setting 'step'", "steps"),
        ("inner.rat=3", "unknown setting 'inner.rat'", "inner.rate"),
        ("steps=many", "setting 'steps'", None),
        ("steps", "not of the form name=value", None),
        ("=3", "not of the form name=value", None),
        ("steps.more=3", "setting 'steps'", None),
    ],
)
def test_bad_settings_are_one_sentence(override: str, words: str, hint: str | None) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(Outer, overrides=[override])
    assert caught.value.exit_code == 2
    assert hint is None or hint in str(caught.value.hint)


def test_setting_below_a_single_value(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("steps = 3")
    with pytest.raises(ConfigError, match="single value"):
        load_config(Outer, path, ["steps.more=3"])


@pytest.mark.parametrize("text", ["steps = = 3", "[", "\xff"])
def test_files_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    for name in ("a.toml", "a.json"):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        with pytest.raises(ConfigError, match=name):
            load_config(Outer, tmp_path / name)
    with pytest.raises(NotFoundError):
        load_config(Outer, tmp_path / "none.toml")


def test_a_json_file_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ConfigError):
        load_config(Outer, tmp_path / "a.json")
    with pytest.raises(ConfigError):
        load_config(Outer, tmp_path / "a.json", ["steps=3"])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Outer().steps = 3  # type: ignore[misc]


def test_what_decides_speed_is_told_apart_at_any_depth() -> None:
    class Inner(Config):
        lr: float = 0.1
        workers: Annotated[int, SPEED] = Field(1, ge=0)

    class Outer(Config):
        inner: Inner = Inner()
        pairs: tuple[tuple[str, str], ...] = (("a", "b"),)
        shards: Annotated[int, SPEED] = 5

    assert deciding(Outer()) == {"inner": {"lr": 0.1}, "pairs": [["a", "b"]]}
    with pytest.raises(ConfigError, match="workers"):  # the mark leaves the limits alone
        validate(Outer, {"inner": {"workers": -1}}, "here")
