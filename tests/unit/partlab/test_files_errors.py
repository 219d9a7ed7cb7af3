"""Files that are never half written, and errors that help."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from partlab.errors import (
    BackendUnavailableError,
    BusyError,
    ConfigError,
    DatasetError,
    MaskError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    SchemaError,
    UnknownNameError,
)
from partlab.files import (
    exclusive,
    read_json,
    read_lines,
    replacing,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
    write_lines,
)


def half_write(path: Path) -> None:
    with replacing(path) as scratch:
        scratch.write_bytes(b"half")
        raise ZeroDivisionError


def fill_the_disk(path: Path) -> None:
    with replacing(path):
        raise OSError(28, "No space left on device")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError):
        half_write(path)
    assert path.read_bytes() == b"old"
    with replacing(path) as scratch:
        scratch.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["a.txt"]


def test_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = f"""
        import os, signal
        from partlab.files import replacing
        with replacing({str(path)!r}) as scratch:
            scratch.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PartlabError, match=r"cannot write .*a\.txt: No space") as caught:
        fill_the_disk(tmp_path / "a.txt")
    assert "free some space" in str(caught.value.hint)
    (tmp_path / "file").touch()
    with pytest.raises(PartlabError, match="cannot write"):
        write_bytes(tmp_path / "file" / "below.txt", b"")


def test_json_and_lines(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5]}
    assert (tmp_path / "a.json").read_text().endswith("}\n")
    write_lines(tmp_path / "a.txt", ["one", "zwei ü"])
    assert read_lines(tmp_path / "a.txt") == ["one", "zwei ü"]
    (tmp_path / "b.txt").write_text("\n a \r\n\nlast")
    assert read_lines(tmp_path / "b.txt") == ["a", "last"]


def test_unreadable_files_name_themselves(tmp_path: Path) -> None:
    for read in (read_json, read_lines):
        with pytest.raises(NotFoundError, match="none"):
            read(tmp_path / "none")
        (tmp_path / "bad").write_bytes(b"\xff\xfe\xfa")
        with pytest.raises(SchemaError, match="bad"):
            read(tmp_path / "bad")
    (tmp_path / "bad").write_text('{"a": 1,\n')
    with pytest.raises(SchemaError, match="line 2"):
        read_json(tmp_path / "bad")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = f"from partlab.files import exclusive\nwith exclusive({str(tmp_path)!r}): print('in')"
    with exclusive(tmp_path):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "BusyError" in told.stderr
        with pytest.raises(BusyError, match="another partlab process"), exclusive(tmp_path):
            pass
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout == "in\n"


def test_a_process_that_waits_for_its_turn(tmp_path: Path) -> None:
    code = (
        "from partlab.files import exclusive\nprint('there', flush=True)\n"
        f"with exclusive({str(tmp_path)!r}, patience=60): print('in')"
    )
    call = [sys.executable, "-c", code]
    with exclusive(tmp_path):
        waiting = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "there\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
    out, error = waiting.communicate(timeout=60)
    assert (out, error) == ("in\n", "")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == known
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})


def test_exit_codes_are_a_contract() -> None:
    codes = {
        PartlabError: 1,
        OutputExistsError: 1,
        BusyError: 1,
        ConfigError: 2,
        NotFoundError: 3,
        BackendUnavailableError: 4,
        DatasetError: 5,
        SchemaError: 5,
        MaskError: 5,
    }
    assert {kind: kind("x").exit_code for kind in codes} == codes
    assert UnknownNameError("a", "b", []).exit_code == 3
    error = PartlabError("what", hint="do")
    assert (str(error), error.message, error.hint) == ("what", "what", "do")


def test_unknown_names_suggest_near_ones() -> None:
    assert UnknownNameError("part", "haed", ["head", "tail"]).hint == "did you mean head?"
    people = ["ann@x.org", "ben@x.org"]
    assert UnknownNameError("user", "Ben", people).hint == "did you mean ben@x.org?"
    assert UnknownNameError("part", "zzz", ["head", "tail"]).hint == "known names: head, tail"
    many = UnknownNameError("part", "zzz", [f"{i:02}" for i in range(12)])
    assert str(many.hint).endswith("09 and 2 more")
    assert UnknownNameError("part", "x", []).hint is None
