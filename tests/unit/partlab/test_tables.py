"""Text and tables as people's programs write them."""

from pathlib import Path

import pytest

from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_lines
from partlab.tables import list_delimiter, read_text, rows_of

TABLE = "voter;note\nJosé;a,b\n"


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_as_spreadsheets_write_it(
    delimiter: str, mark: str, end: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((mark + TABLE.replace(";", delimiter).replace("\n", end)).encode())
    assert list(rows_of(read_text(path))) == [{"voter": "José", "note": "a,b"}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TABLE.encode("cp1252"), "Windows-1252"),
        (TABLE.encode("utf-16"), "UTF-16"),
        (b"\xff\xd8\xff\xe0\0\1", "no text at all"),
    ],
)
def test_another_encoding_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    for read in (read_text, read_lines):
        with pytest.raises(SchemaError, match=rf"a\.csv is not UTF-8 text: .*{words}") as refused:
            read(path)
        assert "UTF-8" in str(refused.value.hint)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_text(tmp_path / "gone.csv")
    with pytest.raises(NotFoundError, match="is a folder"):
        read_text(tmp_path)


def test_lines_have_no_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufeffcat:head\r\n\r\ncat:tail\r\n", "utf-8")
    assert read_lines(tmp_path / "names.txt") == ["cat:head", "cat:tail"]


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["a.png,cat", "b.png,cat"], ","),
        (["path;object", "a.png;cat"], ";"),
        (["a.png\tcat"], "\t"),
        (["a.png", "b;c.png"], ","),
        (["a;b.png,cat"], ","),
        ([], ","),
    ],
)
def test_the_delimiter_of_a_list(lines: list[str], delimiter: str) -> None:
    assert list_delimiter(lines) == delimiter
