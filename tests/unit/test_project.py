"""What must stay true of the project itself: versions, contents of the wheel, no traces."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.doctor import ROOMS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = [Requirement(pin) for pin in PROJECT["tool"]["uv"]["constraint-dependencies"]]

# Spelled so that this file does not match itself.
TRACES = [r"pypi[.]org", r"pythonhosted[.]", r"(^|[^a-z.\w])/(wor[k]|roo[t])/", r"file:///op[t]"]


def tracked() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.split("\0") if (ROOT / name).is_file()]


def test_every_direct_dependency_has_an_exact_tested_version() -> None:
    pinned = {canonicalize_name(pin.name) for pin in PINS}
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert [
        need for need in wanted if canonicalize_name(Requirement(need).name) not in pinned
    ] == []
    assert all(str(pin.specifier).startswith("==") for pin in PINS)


def test_every_direct_dependency_allows_its_tested_version() -> None:
    tested = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in PINS}
    for line in PROJECT["project"]["dependencies"]:
        need = Requirement(line)
        assert need.specifier.contains(tested[canonicalize_name(need.name)]), line


def test_this_environment_is_the_pinned_one() -> None:
    """Both README commands obey the pins; a hand-made environment may differ."""
    if "uv = " not in Path(sys.prefix, "pyvenv.cfg").read_text() or not os.environ.get("CI"):
        pytest.skip("only where uv made the environment from the pins (CI)")
    here = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate()]
    off = {}
    for pin in here:
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            continue  # for another platform, or of a group that is not installed
        if not pin.specifier.contains(found.partition("+")[0], prereleases=True):
            off[pin.name] = found
    known = {canonicalize_name(pin.name) for pin in here} | {"partlab"}
    extra = {canonicalize_name(d.name) for d in distributions()} - known
    assert (off, extra) == ({}, set())


def test_nothing_in_git_names_an_index_host_or_a_machine_path() -> None:
    traces = re.compile("|".join(TRACES), re.MULTILINE)
    found = []
    for path in tracked():
        text = path.read_bytes().decode(errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in traces.finditer(text)]
    assert found == []


def test_no_lock_file_and_no_big_file_in_git() -> None:
    files = tracked()
    assert ROOT / "uv.lock" not in files
    assert [path.name for path in files if path.stat().st_size > 1_000_000] == []


def test_the_six_rooms_are_complete() -> None:
    """Without these files a room is a namespace package that others could extend, or untyped."""
    for room in ROOMS:
        assert (ROOT / room / "__init__.py").is_file()
        assert (ROOT / room / "py.typed").is_file()
    assert set(PROJECT["tool"]["uv"]["build-backend"]["module-name"]) == set(ROOMS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not here; the tests' usual command is `uv run pytest`")
    out = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_all_rooms_with_their_data_and_nothing_else(
    wheel: zipfile.ZipFile,
) -> None:
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    assert {name.partition("/")[0] for name in names} == {*ROOMS, "partlab-0.1.0.dist-info"}
    ours = {str(path.relative_to(ROOT)) for path in tracked()}
    assert {name for name in ours if name.partition("/")[0] in ROOMS} <= names
    assert "partlab-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_published_metadata_is_clean(wheel: zipfile.ZipFile) -> None:
    """An index refuses direct addresses (RK-16); detectron2 must leave no trace (ADR 0005)."""
    text = wheel.read("partlab-0.1.0.dist-info/METADATA").decode()
    needs = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    project = PROJECT["project"]
    extras = [need for group in project["optional-dependencies"].values() for need in group]
    assert len(needs) == len(project["dependencies"]) + len(extras)
    assert "detectron2" not in text.partition("\n\n")[0]
    assert not [n for n in needs if "@" in n or "==" in n.partition(";")[0]]
