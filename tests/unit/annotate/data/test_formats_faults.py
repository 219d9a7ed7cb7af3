"""Every reader with what people do wrong: one sentence each, and nothing is left behind."""

import logging
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tool_folders import TOOLS

from annotate.data.convert import import_folder
from annotate.data.formats import formats, get_format, guess_format
from partlab.coco import find_splits, read_coco
from partlab.errors import NotFoundError, PartlabError, SchemaError
from partlab.images import is_image_name

SAID: dict[str, dict[str, str]] = {"voc": {"object": "ram"}}  # VOC has a colon in no name
PAGE = "<!DOCTYPE html><html><title>Sign in</title></html>"


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Path]:
    """Format, folder and main file of one tool."""
    format, make = TOOLS[request.param]
    folder = tmp_path / "in"
    return format, folder, make(folder)


def zipped(folder: Path, path: Path, *more: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            made.write(file, file.relative_to(folder).as_posix())
        for name in more:
            made.writestr(name, "x")
    return path


def masks(folder: Path) -> list[tuple[str, str]]:
    """Name and run lengths of every mask."""
    from partlab.masks import from_segmentation

    found = []
    for file in find_splits(folder).values():
        data = read_coco(file)
        for image in data.images:
            for a in data.annotations_of(image):
                rle = from_segmentation(a.segmentation, image.height, image.width)
                found.append((data.names[data.label_of[a.category_id]], rle["counts"]))
    return sorted(found)


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)


def refused(path: Path, out: Path, **how: str) -> PartlabError | None:
    """The error of an import, which has to leave nothing behind; None where it was done."""
    try:
        import_folder(path, out, **how)
    except PartlabError as error:
        assert not out.exists()
        return error
    return None


def test_every_format_that_is_read_is_here() -> None:
    read = {name for name in formats.names() if get_format(name).reads}
    assert read == {format for format, _ in TOOLS.values()}


def test_its_own_folder_is_known_and_read(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    format, folder, _ = tool
    assert guess_format(folder) == format
    import_folder(folder, tmp_path / "out", **SAID.get(format, {}))
    assert masks(tmp_path / "out")


def test_the_same_in_a_zip(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    format, folder, _ = tool
    import_folder(folder, tmp_path / "out", **SAID.get(format, {}))
    path = zipped(folder, tmp_path / "export.zip")
    shutil.rmtree(folder)
    import_folder(path, tmp_path / "again", **SAID.get(format, {}))
    assert masks(tmp_path / "again") == masks(tmp_path / "out")


def test_a_password(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    path = zipped(tool[1], tmp_path / "export.zip")
    locked = bytearray(path.read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := locked.find(mark, at + 1)) >= 0:
            locked[at + flag] |= 1
    path.write_bytes(locked)
    error = refused(path, tmp_path / "out")
    assert isinstance(error, SchemaError)
    assert "protected by a password" in error.message


def test_a_path_that_leads_outside(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    path = zipped(tool[1], tmp_path / "export.zip", "../evil.txt")
    error = refused(path, tmp_path / "deep" / "out")
    assert error
    assert "outside its folder" in error.message
    assert not list(tmp_path.rglob("evil*"))


def test_half_of_the_archive(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    path = zipped(tool[1], tmp_path / "export.zip")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = refused(path, tmp_path / "out")
    assert error
    assert "zip archive" in error.message
    assert "again" in str(error.hint)


def test_half_of_its_file(
    tool: tuple[str, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, folder, main = tool
    content = main.read_bytes()
    main.write_bytes(content[: len(content) // 2])
    error = refused(folder, tmp_path / "out", format=tool[0])
    assert error or said(caplog), "nothing was said"


def test_a_web_page_in_its_place(
    tool: tuple[str, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    format, folder, main = tool
    main.write_text(PAGE)
    error = refused(folder, tmp_path / "out", format=format)
    assert error or said(caplog), "nothing was said"


def test_another_tools_folder(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    """Said to be what it is not."""
    format, folder, _ = tool
    other = "via" if format != "via" else "pascalpart"
    error = refused(folder, tmp_path / "out", format=other)
    assert isinstance(error, NotFoundError | SchemaError)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("hello")
    error = refused(tmp_path / "empty", tmp_path / "out", format=format)
    assert isinstance(error, NotFoundError | SchemaError), error


def test_without_its_pictures(
    tool: tuple[str, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    format, folder, main = tool
    for file in _pictures(folder, main):
        file.unlink()
    error = refused(folder, tmp_path / "out", **SAID.get(format, {}))
    if error is None:
        assert masks(tmp_path / "out"), "masks were lost with their pictures"
        assert "not found" in said(caplog) or "not there" in said(caplog)
    else:
        assert "picture" in error.message
        assert "--images" in f"{error.message} {error.hint}"


def _pictures(folder: Path, main: Path) -> Iterator[Path]:
    """Pictures that are no masks."""
    for file in folder.rglob("*"):
        parts = {*file.relative_to(folder).parts}
        maps = parts & {"seg", "annotations", "SegmentationClass", "SegmentationObject"}
        named = file.name.endswith(("_seg.png", "_parts_1.png")) or file.suffix == ".tif"
        if file.is_file() and is_image_name(file.name) and not maps and not named and file != main:
            yield file


TEXTS = {".json", ".xml", ".txt", ".csv", ".yaml"}


def test_files_that_an_editor_of_windows_saved_again(
    tool: tuple[str, Path, Path], tmp_path: Path
) -> None:
    """With a byte-order mark and CRLF in every text file."""
    format, folder, _ = tool
    import_folder(folder, tmp_path / "out", **SAID.get(format, {}))
    for file in (one for one in folder.rglob("*") if one.suffix in TEXTS):
        lines = file.read_text("utf-8").replace("\n", "\r\n")
        file.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert guess_format(folder) == format
    import_folder(folder, tmp_path / "again", **SAID.get(format, {}))
    assert masks(tmp_path / "again") == masks(tmp_path / "out")


def test_names_of_other_alphabets_and_blanks(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    """Of the folder that holds it all."""
    format, folder, _ = tool
    import_folder(folder, tmp_path / "out", **SAID.get(format, {}))
    folder.rename(tmp_path / "Fotos für 羊 (1) & 50%")
    import_folder(tmp_path / "Fotos für 羊 (1) & 50%", tmp_path / "again", **SAID.get(format, {}))
    assert masks(tmp_path / "again") == masks(tmp_path / "out")


def test_the_folder_above_names_the_folder(tool: tuple[str, Path, Path], tmp_path: Path) -> None:
    format, folder, _ = tool
    above = tmp_path / "download"
    (above / "readme").mkdir(parents=True)
    (above / "v 1").mkdir()
    shutil.move(folder, above / "v 1" / "daten-ü")
    error = refused(above, tmp_path / "out")
    assert error is None or f"daten-ü ({format})" in str(error.hint)
    assert error or masks(tmp_path / "out")  # labelme and others look into folders themselves


def test_only_other_exports_in_the_folder_are_told(
    tool: tuple[str, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    format, folder, _ = tool
    import_folder(folder, tmp_path / "out", **SAID.get(format, {}))
    assert "in it, and not read" not in said(caplog)
    other = "VIA 2" if format != "via" else "COCO"
    TOOLS[other][1](folder / "another export")
    import_folder(folder, tmp_path / "again", **SAID.get(format, {}))
    assert f"another export ({TOOLS[other][0]})" in said(caplog)
