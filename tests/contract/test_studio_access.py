"""Before a work is begun its server is asked whether it may show the pictures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.studio.api.access import need_access
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running, start_server
from app.cli.main import app
from partlab.errors import StudioError

ANN = "ann.access@example.org"
SERVING = "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"


def inventory(studio: Studio) -> dict[str, Any]:
    """Every project of the server with the storages of its own."""
    projects = [one["id"] for one in studio.pages("/api/projects/", include="id")]
    return {str(id): studio.get("/api/storages/localfiles", project=id) for id in projects}


@contextmanager
def elsewhere() -> Iterator[Path]:
    """A folder that lies under no server's document root."""
    with TemporaryDirectory() as folder:
        yield Path(folder).resolve()


@pytest.fixture
def named(studio_server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server and its administrator, as commands find them."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    with studio_server.studio() as studio:
        create_users(studio, [ANN])


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """What a work is begun with: two photographs, their vocabulary, an annotator."""
    (tmp_path / "photos" / "ram").mkdir(parents=True)
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 255, (32, 48, 3), np.uint8)
        PillowImage.fromarray(noise).save(tmp_path / "photos" / "ram" / f"{number}.png")
    (tmp_path / "farm.yaml").write_text("objects:\n  ram: [head, body]\n")
    options = {"--vocabulary": "farm.yaml", "--images": "photos"}
    words = [word for name, file in options.items() for word in (name, str(tmp_path / file))]
    return [*words, "--annotators", ANN, "--per-object", "2"]


def create(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(app, ["studio", "create", str(folder), *words, "--json"])
    told = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, told, result.stderr


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["create", "dry run"])
@pytest.mark.usefixtures("named")
def test_a_work_that_the_server_may_not_show_is_not_begun(
    given: list[str], studio: Studio, dry: list[str]
) -> None:
    before = inventory(studio)
    with elsewhere() as root:
        code, told, words = create(root / "work", *given, *dry)
        assert (code, told) == (4, {})
        assert "its document root is not above it" in words
        assert f"studio up DIR --root {root}" in words
        assert list(root.iterdir()) == []
    assert inventory(studio) == before


@pytest.mark.usefixtures("named")
def test_one_that_it_may_show_is_begun_after_a_dry_run_that_left_nothing(
    given: list[str], studio: Studio, tmp_path: Path
) -> None:
    before = inventory(studio)
    code, told, words = create(tmp_path / "work", *given, "--dry-run")
    assert (code, words) == (0, "")
    assert [one["images"] for one in told["rounds"]] == [2]
    assert not (tmp_path / "work").exists()
    assert inventory(studio) == before
    code, told, _ = create(tmp_path / "work", *given)
    assert (code, [one["state"] for one in told["rounds"]]) == (0, ["annotating"])
    assert len(inventory(studio)) == len(before) + 1


@pytest.mark.usefixtures("named")
def test_the_root_itself_and_a_link_to_what_lies_below_are_fine(
    studio: Studio, studio_server: Running, tmp_path: Path
) -> None:
    need_access(studio, studio_server.root / "work")  # the nearest folder there is the root
    with elsewhere() as root:
        (root / "link").symlink_to(tmp_path, target_is_directory=True)
        need_access(studio, root / "link" / "work")
        with pytest.raises(StudioError, match=f"may not read {root}"):
            need_access(studio, root / "work")


@pytest.mark.usefixtures("named")
def test_of_pictures_on_a_web_server_label_studio_is_not_asked(given: list[str]) -> None:
    """Its address is tried when the first picture lies there."""
    with elsewhere() as root:
        address = ["--image-url", "http://127.0.0.1:9/pictures"]
        assert create(root / "work", *given, *address, "--dry-run")[0] == 0


def test_a_server_without_a_project_has_none_afterwards(
    studio_server: Running, tmp_path: Path
) -> None:
    """One has to be made to ask with; it goes again, whatever the answer is."""
    with start_server(tmp_path / "empty", root=tmp_path, port=0) as empty, empty.studio() as studio:
        need_access(studio, tmp_path / "work")
        assert inventory(studio) == {}
        with elsewhere() as root, pytest.raises(StudioError, match="document root is not above"):
            need_access(studio, root / "work")
        assert inventory(studio) == {}


def test_a_server_that_serves_no_files_says_so(studio_server: Running, tmp_path: Path) -> None:
    off = {SERVING: "false"}
    server = start_server(tmp_path / "off", root=tmp_path, port=0, settings=off)
    with server as closed, closed.studio() as studio:
        for folder in (tmp_path, tmp_path / "off"):  # the root itself, and one below it
            with pytest.raises(StudioError, match="local files is switched off") as caught:
                need_access(studio, folder / "work")
            assert "--image-url" in str(caught.value.hint)
        assert inventory(studio) == {}
