"""What a command loads before it works: nothing heavy, or the network libraries and a word first.

Each command runs in a process of its own, because one that loaded torch has loaded it for all.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from partlab.coco import write_coco
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.runs import write_run

HEAVY = ("torch", "torchvision", "timm", "gradio", "matplotlib", "label_studio_sdk", "pandas")
LOADED = f"""
import json, sys
from app.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    loaded = [name for name in {HEAVY!r} if sys.modules.get(name)]
    print("LOADED", json.dumps([end.code, loaded]), file=sys.stderr)
"""
WORD = "loading torch, which takes some seconds"


def run(*words: object) -> tuple[int, list[str], list[str]]:
    """Exit code, heavy packages that were imported, and the lines on stderr."""
    command = [sys.executable, "-c", LOADED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *said, last = done.stderr.splitlines()
    assert last.startswith("LOADED "), done.stderr
    code, loaded = json.loads(last.removeprefix("LOADED "))
    return code or 0, loaded, said


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """One picture with one mask."""
    folder = tmp_path / "parts"
    (folder / "images").mkdir(parents=True)
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / "a.png")
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    rle: Any = encode(mask)
    record = Annotation.new(1, 1, 1, rle, bbox=[2, 2, 4, 4], area=16)
    image = Image.new(1, "a.png", (8, 8), object="ram")
    data = Dataset([image], [record], [Category.new(1, "ram", "horn")])
    write_coco(data, folder / "annotations" / "train.json")
    return folder


@pytest.mark.parametrize("words", [("data", "check"), ("data", "stats"), ("data", "show")])
def test_looking_at_data_loads_nothing_heavy(parts: Path, words: tuple[str, ...]) -> None:
    out = ("--out", parts.parent / "sheet.png") if "show" in words else ()
    code, loaded, said = run(*words, parts, *out)
    assert (code, loaded) == (0, []), said


def test_listing_runs_loads_nothing_heavy(tmp_path: Path) -> None:
    write_run(tmp_path / "seg", {"backend": "torchvision", "config": {}, "names": ["ram:horn"]})
    code, loaded, said = run("segmenter", "list", tmp_path)
    assert (code, loaded, said) == (0, [], [])


def test_the_report_of_a_store_loads_nothing_heavy(
    make_store: Callable[..., Any], tmp_path: Path
) -> None:
    store = make_store([("cat/a.png", "cat", [(1, (2, 2, 10, 10), 0.9)])])
    code, loaded, said = run("pseudolabel", "report", store.path, "--out", tmp_path / "report")
    assert (code, loaded) == (0, []), said


def test_training_on_nothing_fails_before_anything_is_loaded(tmp_path: Path) -> None:
    code, loaded, said = run("segmenter", "train", tmp_path / "none", "--out", tmp_path / "run")
    assert (code, loaded) == (3, [])
    assert said[0].startswith("reading ")
    assert not any(WORD in line for line in said)


def test_a_command_that_needs_torch_says_so_before_it_loads() -> None:
    code, loaded, said = run("doctor", "--json")
    assert code == 0
    assert "torch" in loaded
    assert WORD in said[0]


NETWORK = """
import sys
from segmenter import ModelConfig, SegmenterConfig, TrainConfig
from segmenter.protocol import backends
assert SegmenterConfig().model == ModelConfig()
backends.get("torchvision")
assert {"torch", "torchvision", "timm"} <= sys.modules.keys()
assert not any(name.startswith("torch._dynamo") for name in sys.modules), "the compiler is here"
ops = sys.modules["torchvision.ops.roi_align"]
answer = ops.is_compile_supported("cpu")
import torch._dynamo.utils
assert answer is torch._dynamo.utils.is_compile_supported("cpu")
import torch
print(torch.compiler.disable(lambda: "all is there")())
"""


def test_the_network_libraries_are_loaded_without_torchs_compiler_and_it_still_works() -> None:
    """It takes as long to load as torch itself, and only an optimizer wants it."""
    done = subprocess.run(
        [sys.executable, "-c", NETWORK], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "all is there", done.stderr


PAGES = """
import sys
from app.web.given import Given
from app.web.run import create_web
from app.web.shelf import LocalShelf
from app.web.site import Site
create_web(Site(Given(), LocalShelf({}, {})))
heavy = ("torch", "sqlalchemy", "matplotlib", "annotate.work", "label_studio_sdk")
print([name for name in heavy if name in sys.modules])
"""


def test_the_apps_pages_are_built_without_torch_or_a_database() -> None:
    """The first page waits for all of it; matplotlib is asked for nothing but a name."""
    done = subprocess.run(
        [sys.executable, "-c", PAGES], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
