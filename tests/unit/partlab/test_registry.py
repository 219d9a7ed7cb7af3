"""Things by name: lazily imported, extended by entry points, near names suggested."""

import sys
from pathlib import Path

import pytest

from partlab.errors import PartlabError, UnknownNameError
from partlab.registry import Registry


@pytest.fixture
def registry() -> Registry:
    made = Registry("sum", "partlab.test_sums")
    made.register("square root", "math:isqrt")
    made.register("lazy", "module_that_is_not_there:anything")
    return made


def test_get_imports_and_listing_does_not(registry: Registry) -> None:
    assert registry.names() == ["lazy", "square root"]
    assert registry.get("square root")(9) == 3
    with pytest.raises(ModuleNotFoundError):
        registry.get("lazy")


def test_unknown_and_double_names(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="unknown sum 'sqare root'") as caught:
        registry.get("sqare root")
    assert caught.value.hint == "did you mean square root?"
    with pytest.raises(PartlabError, match="registered twice"):
        registry.register("lazy", "math:sin")


def test_another_distribution_adds_its_own(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[partlab.test_sums]\nguest = guest_sums:double\n")
    (tmp_path / "guest_sums.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "guest" in registry.names()
    assert "guest_sums" not in sys.modules
    assert registry.get("guest")(4) == 8
