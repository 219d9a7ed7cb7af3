"""Whole files only, by many writers at once; and whose fault it was where one is not written."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from annotate.data.formats.pictures import Pictures, place
from partlab.errors import PartlabError
from partlab.files import (
    copy_file,
    is_scratch,
    remove_leftovers,
    replacing,
    write_bytes,
    write_json,
)
from partlab.folders import claim_folder

WRITES = 400


def test_two_threads_write_one_path(tmp_path: Path) -> None:
    path, errors = tmp_path / "a.bin", list[BaseException]()

    def write(letter: bytes) -> None:
        for _ in range(WRITES):
            try:
                with replacing(path, flush=False) as scratch:
                    scratch.write_bytes(letter * 5000)
                assert path.read_bytes() in (b"a" * 5000, b"b" * 5000)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "kind", [FileNotFoundError, PermissionError, IsADirectoryError, ConnectionResetError]
)
def test_an_error_of_reading_comes_out_as_it_is(tmp_path: Path, kind: type[OSError]) -> None:
    number = {"FileNotFoundError": errno.ENOENT, "PermissionError": errno.EACCES}
    raised = kind(number.get(kind.__name__, errno.EIO), "said", str(tmp_path / "source.png"))
    with pytest.raises(kind) as caught, replacing(tmp_path / "a.txt") as scratch:  # noqa: PT012
        scratch.write_bytes(b"half")
        raise raised
    assert caught.value is raised
    assert os.listdir(tmp_path) == []


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png"), replacing(tmp_path / "a") as scratch:
        scratch.write_bytes((tmp_path / "none.png").read_bytes())


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "rights"),
        (errno.EROFS, "only be read"),
        (errno.EFBIG, "ulimit"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EIO, "another folder"),
    ],
)
def test_every_fault_of_writing_has_its_own_hint(tmp_path: Path, number: int, hint: str) -> None:
    with pytest.raises(PartlabError, match=r"^cannot write .*a\.txt: ") as caught:  # noqa: SIM117
        with replacing(tmp_path / "a.txt") as scratch:
            raise OSError(number, os.strerror(number), str(scratch))
    assert os.strerror(number) in caught.value.message
    assert hint in str(caught.value.hint)
    assert ("free some space" in str(caught.value.hint)) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_folder_that_is_a_file_needs_no_space(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PartlabError, match="cannot write") as caught:
        write_bytes(tmp_path / "file" / "below.txt", b"")
    assert "space" not in str(caught.value.hint)
    with pytest.raises(PartlabError, match="cannot make the folder"):
        claim_folder(tmp_path / "file" / "below")
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with pytest.raises(PartlabError, match=r"cannot write .*folder: Is a directory"):
        write_bytes(tmp_path / "folder", b"")


def test_a_full_disk_is_told_whoever_writes(small_disk: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights = {"a": torch.zeros(200_000)}
    for write in (
        lambda scratch: scratch.write_bytes(b"x" * 300_000),
        lambda scratch: torch.save(weights, scratch),
        lambda scratch: save_file(weights, scratch),
    ):
        with pytest.raises(PartlabError, match=r"cannot write .*: No space left") as caught:  # noqa: SIM117
            with replacing(small_disk / "weights") as scratch:
                write(scratch)
        assert "free some space" in str(caught.value.hint)
        assert os.listdir(small_disk) == []
    with pytest.raises(ZeroDivisionError), replacing(small_disk / "weights"):
        raise ZeroDivisionError


def test_a_picture_that_cannot_be_read_is_not_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * 300_000)
    with pytest.raises(PartlabError, match=r"cannot write .*big\.png: No space left"):
        place([(big, small_disk / "images" / "big.png")], Pictures.copy)
    assert list((small_disk / "images").iterdir()) == []
    with pytest.raises(PartlabError, match=r"cannot read .*none\.png: No such file") as caught:
        copy_file(tmp_path / "none.png", tmp_path / "copy.png")
    assert "space" not in str(caught.value.hint)
    assert not (tmp_path / "copy.png").exists()


def test_copies_are_linked_where_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    copy_file(tmp_path / "a", tmp_path / "deep" / "b", link=True)
    copy_file(tmp_path / "a", tmp_path / "deep" / "c")
    assert (tmp_path / "a").samefile(tmp_path / "deep" / "b")
    assert not (tmp_path / "a").samefile(tmp_path / "deep" / "c")
    assert (tmp_path / "deep" / "c").read_bytes() == b"abc"


def test_leftovers_of_killed_processes_are_known_and_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.arrow", tmp_path / "a"
    code = f"""
import os, signal
from partlab.files import replacing
with replacing({str(path)!r}) as scratch:
    scratch.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    assert is_scratch(left)
    assert not is_scratch(path)
    remove_leftovers([other])
    assert left.exists()
    remove_leftovers([path, other])
    assert not left.exists()


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / ("鳥" * 85), [1])
    assert len(os.listdir(tmp_path)) == 1
