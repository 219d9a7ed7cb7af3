"""docs/guide/library.md is true: its blocks are run in order, as the cells of a notebook."""

import ast
import io
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "library.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOMS = ("partlab", "annotate", "segmenter", "pseudolabel", "train")
LISTED = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


def cells() -> list[str]:
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def run(cell: str, names: dict[str, Any]) -> Any:
    """Run one cell; the value of its last line, where that is an expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(PAGE), "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), str(PAGE), "eval"), names)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """What each cell shows, and the names at the end."""
    names: dict[str, Any] = {"__name__": "notebook"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="error"):
        warnings.filterwarnings("ignore", module="pycocotools|torch")
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        yield [_quietly(cell, names) for cell in cells()], names


def _quietly(cell: str, names: dict[str, Any]) -> Any:
    """Nothing is printed but what the cell prints itself."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        value = run(cell, names)
    assert said.getvalue() == "" or "print(" in cell, said.getvalue()
    return value


def test_the_blocks_run_and_pictures_show_themselves(
    shown: tuple[list[Any], dict[str, Any]],
) -> None:
    results, _ = shown
    drawn = [at for at, cell in enumerate(cells()) if cell.startswith("show(")]
    assert len(drawn) >= 4
    for at in drawn:
        assert results[at]._repr_png_().startswith(b"\x89PNG"), cells()[at]


def test_the_data_set_is_shown_as_the_guide_says(shown: tuple[list[Any], dict[str, Any]]) -> None:
    results, _ = shown
    assert f"```text\n{results[0]!r}\n```" in PAGE.read_text(encoding="utf-8")


def test_what_is_shown_as_text_is_one_short_line(shown: tuple[list[Any], dict[str, Any]]) -> None:
    _, names = shown
    records = [names["image"], names["masks"][0], names["data"].categories[0], names["row"]]
    objects = [names["data"], names["found"], names["store"], names["maps"], names["pictures"]]
    for each in (*records, *objects):
        assert len(repr(each)) < 200, repr(each)
        assert "\n" not in repr(each)
        assert " object at 0x" not in repr(each)


def test_the_filter_goes_by_the_name_of_the_object(
    shown: tuple[list[Any], dict[str, Any]],
) -> None:
    _, names = shown
    segmenter, pixels = names["segmenter"], names["load_image"](names["path"])
    for owner in ("cat", "ram"):
        found = segmenter.predict([pixels], objects=[owner], threshold=0.0)[0]
        assert len(found) > 0
        assert {segmenter.names[label].split(":")[0] for label in found.labels} == {owner}


def test_label_maps_are_a_data_set_of_torchs_kind(
    shown: tuple[list[Any], dict[str, Any]],
) -> None:
    _, names = shown
    pictures, batch = names["pictures"], names["batch"]
    assert len(pictures) == 6 + len(names["data"].images)  # the pool, and what people drew
    assert tuple(batch.pixels.shape) == (4, 64, 64, 3)
    assert tuple(batch.labels.shape) == (4, 64, 64)
    assert int(batch.labels.max()) <= pictures.ignore


SILENT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_library_guide import cells, run
names = {{"__name__": "notebook"}}
for cell in cells()[:3]:
    run(cell, names)
import logging
for room in ("annotate", "segmenter", "pseudolabel", "partlab"):
    logging.getLogger(room + ".anywhere").warning("nobody asked")
print([name for name in ("torch", "timm", "gradio", "matplotlib") if name in sys.modules])
"""


def test_nothing_is_said_and_nothing_heavy_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    code = SILENT.format(folder=str(Path(__file__).parent))
    imports = "".join(f"import {room}; assert dir({room})\n" for room in ROOMS)
    done = subprocess.run(
        [sys.executable, "-c", imports + code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_table_lists_what_each_room_offers() -> None:
    table = dict(LISTED.findall(PAGE.read_text(encoding="utf-8")))
    assert set(table) == set(ROOMS)
    for room, listed in table.items():
        module = __import__(room)
        assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name).__module__.startswith(room)


def test_a_name_that_a_room_does_not_have() -> None:
    import segmenter

    with pytest.raises(AttributeError, match="module 'segmenter' has no attribute 'trian'"):
        segmenter.trian  # type: ignore[attr-defined]  # noqa: B018
