"""JSON read in pieces: the same as read whole, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partlab import files, json_stream
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, read_pieces
from partlab.json_stream import UnreadableError, read_whole, stream

TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["}", "]", '{"', "\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=25,
)


@pytest.fixture(params=[1, 7, 64, 1 << 20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Characters that are read at once."""
    size: int = request.param
    monkeypatch.setattr(json_stream, "_CHUNK", size)
    return size


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(TEXT, VALUES, max_size=5), indent=st.sampled_from([None, 0, 2]))
def test_any_object_is_what_the_whole_parser_makes(
    chunk: int, tmp_path: Path, content: dict[str, Any], indent: int | None
) -> None:
    file = tmp_path / "a.json"
    for plain in (True, False):
        file.write_text(json.dumps(content, indent=indent, ensure_ascii=plain), encoding="utf-8")
        found = read_whole(file)
        assert found == json.loads(file.read_bytes())
        assert list(found) == list(json.loads(file.read_bytes()))


def test_numbers_at_the_edge_of_a_piece(chunk: int, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": 12345678901234, "b": [1.5e300, -12, 7], "c": true, "d": []}')
    assert read_whole(file) == json.loads(file.read_text())


def test_of_a_key_that_comes_twice_the_last_counts(chunk: int, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": [1, 2], "b": 0, "a": [1], "a": [{"x": 3}]}')
    assert read_whole(file) == {"a": [{"x": 3}], "b": 0}


@pytest.mark.parametrize(
    "text",
    [
        "[1]", "7", "", "{", '{"a"}', '{"a": 1}}', '{"a": 1} x', '{"a": [1, 2', '{"a": [1 2]}',
        '{"a": [{"b": 1}, ]}', '{"a": "x', "{1: 2}", '{"a": [{"b": "}]', '{"a": 1, }',
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(chunk: int, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UnreadableError):
        read_whole(file)


def test_another_encoding_is_left_to_others(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('{"a": "\xe9"}'.encode("utf-16"))
    with pytest.raises(UnreadableError):
        read_whole(file)


def test_a_list_comes_in_pieces_and_equal_sizes_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    file = tmp_path / "a.json"
    records = [{"id": n, "size": [4, 3], "odd": {"size": [4.0, 3]}} for n in range(50)]
    file.write_text(json.dumps({"info": 1, "annotations": records}))
    pieces = [value for key, value, _ in stream(file) if key == "annotations"]
    assert len(pieces) > 5
    found = [one for piece in pieces for one in piece]
    assert found == records
    assert len({id(one["size"]) for one in found}) == 1
    assert type(found[0]["odd"]["size"][0]) is float


def test_large_files_are_read_so_and_their_faults_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LARGE", 10)
    file = tmp_path / "a.json"
    content = {"images": [{"id": n, "x": 0.1} for n in range(9)], "info": {"size": [1, 2]}}
    file.write_text(json.dumps(content))
    assert read_json(file, share_floats=True) == content
    file.write_text(json.dumps(content)[:-30])
    with pytest.raises(SchemaError, match="line 1 column"):
        read_json(file, share_floats=True)
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert read_json(file, share_floats=True) == content


def test_members_within_and_a_list_that_is_the_file_come_in_pieces(
    chunk: int, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    members = {f"k{n}": {"x": [n, "}"], "": {}} for n in range(30)}
    file.write_text(json.dumps({"before": {"a": 1}, "all": members, "": [1], "none": {}}))
    pieces = [*stream(file, within={"all", "none"})]
    assert pieces[:2] == [("before", {"a": 1}, False), ("all", {}, False)]
    assert pieces[2:32] == [("all", {key: value}, True) for key, value in members.items()]
    assert pieces[32:] == [("", [1], False), ("none", {}, False)]
    file.write_text(json.dumps([*members.values()]))
    assert {key for key, _, _ in stream(file)} == {None}
    assert [one for _, piece, _ in stream(file) for one in piece] == [*members.values()]


def test_pieces_are_the_whole_file_where_it_cannot_be_read_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    records = [{"id": n} for n in range(9)]
    for large in (10, 10_000):
        monkeypatch.setattr(files, "_LARGE", large)
        for content in ({"a": records, "b": {"c": 1}}, records):
            for text in (json.dumps(content), "\ufeff" + json.dumps(content)):
                file.write_text(text, encoding="utf-8")
                found: dict[str | None, Any] = {}
                for key, value, goes_on in read_pieces(file):
                    found[key] = [*found[key], *value] if goes_on else value
                assert found == (content if isinstance(content, dict) else {None: content})
    monkeypatch.setattr(files, "_LARGE", 10)
    file.write_text(json.dumps({"a": records})[:-5])
    with pytest.raises(SchemaError, match="line 1 column"):
        list(read_pieces(file))
    with pytest.raises(NotFoundError):
        list(read_pieces(tmp_path / "none.json"))
