"""Whose a folder is: what may be written into it, and what no --force clears."""

from pathlib import Path

import pytest

from partlab.errors import OutputExistsError, PartlabError
from partlab.folders import claim_folder, need_clearable, need_free, need_own, new_folder


def test_folders_are_claimed_once(tmp_path: Path) -> None:
    out = claim_folder(tmp_path / "out" / "deep")
    assert claim_folder(out) == out
    (out / "file").touch()
    with pytest.raises(OutputExistsError, match="not empty") as caught:
        claim_folder(out)
    assert "--force" in str(caught.value.hint)
    assert not list(claim_folder(out, force=True).iterdir())
    (tmp_path / "plain").write_text("x")
    with pytest.raises(OutputExistsError):
        claim_folder(tmp_path / "plain")
    assert claim_folder(tmp_path / "plain", force=True).is_dir()


@pytest.mark.parametrize("out", ["data", ".", "data/../data"])
def test_clearing_never_removes_the_input(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputExistsError, match="input"):
        claim_folder(out, force=True, inputs=[None, "data/a.json"])
    assert (tmp_path / "data" / "a.json").exists()
    assert claim_folder("data/out", inputs=["data"])


@pytest.mark.parametrize("inside", [".", "exports", "exports/ram"])
def test_no_force_clears_what_people_drew(tmp_path: Path, inside: str) -> None:
    """The folder of an annotation work, and everything in it, stays; a new folder in it may be."""
    work = tmp_path / "work"
    (work / "exports" / "ram").mkdir(parents=True)
    (work / "exports" / "ram" / "1.jsonl.gz").touch()
    (work / "work.json").write_text("{}")
    with pytest.raises(OutputExistsError, match="annotation work"):
        claim_folder(work / inside, force=True)
    assert (work / "exports" / "ram" / "1.jsonl.gz").is_file()
    assert claim_folder(work / "new", force=True).is_dir()


def test_no_force_clears_a_folder_with_a_work_below(tmp_path: Path) -> None:
    work = tmp_path / "all" / "of" / "farm"
    work.mkdir(parents=True)
    (work / "work.json").write_text("{}")
    for refuse in (claim_folder, need_free):
        with pytest.raises(OutputExistsError, match=r"all holds the annotation work in .*farm"):
            refuse(tmp_path / "all", force=True)
    with pytest.raises(OutputExistsError, match="holds the annotation work"):
        need_clearable(tmp_path)
    assert (work / "work.json").is_file()
    need_clearable(tmp_path / "elsewhere")


def test_a_folder_with_leftovers_alone_is_free(tmp_path: Path) -> None:
    (tmp_path / ".a.json.12ab.tmp").touch()
    assert claim_folder(tmp_path) == tmp_path


def test_a_folder_is_ours_that_holds_nothing_else(tmp_path: Path) -> None:
    own = tmp_path / "own"
    need_own(own, "store", hint="go elsewhere")
    own.mkdir()
    need_own(own, "store", hint="go elsewhere")
    for name in (".lock", "shards", ".a.json.12ab.tmp"):
        (own / name).touch()
    need_own(own, "store", {".lock", "shards"}, hint="go elsewhere")
    for name in "fedcba":
        (own / f"{name}.jpg").touch()
    with pytest.raises(OutputExistsError) as caught:
        need_own(own, "store", {".lock", "shards"}, hint="go elsewhere")
    told = f"{own} is not empty and holds no store (a.jpg, b.jpg, c.jpg, d.jpg, e.jpg and 1 more)"
    assert (caught.value.message, caught.value.hint) == (told, "go elsewhere")
    with pytest.raises(OutputExistsError, match="is a file, not a folder"):
        need_own(own / "shards", "store", hint="go elsewhere")


def test_a_refused_folder_is_named_as_it_was_given(tmp_path: Path) -> None:
    """Not by the hidden one that is written first, and nothing of that is left."""
    with (
        pytest.raises(PartlabError) as caught,
        new_folder(tmp_path / "out") as scratch,
    ):
        raise PartlabError(f"cannot write {scratch / 'a.json'}")
    assert (
        str(caught.value) == caught.value.message == f"cannot write {tmp_path / 'out' / 'a.json'}"
    )
    assert not list(tmp_path.iterdir())
