"""Drawn photos, a trained colour segmenter and what a store holds, for the engine's tests."""

import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from colour_segmenter import write_colour_run

    return write_colour_run(tmp_path_factory.mktemp("runs") / "seg-colour")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drawings in the folders car, cat and bike, and one that is no picture."""
    from colour_segmenter import draw_folder

    folder = draw_folder(tmp_path_factory.mktemp("photos"), 40)
    (folder / "cat" / "00000 no picture.jpg").write_text("hello")
    return folder
