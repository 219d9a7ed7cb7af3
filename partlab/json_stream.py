"""Large JSON files without their text in memory: what is in them takes less than both together.

A file of annotations is one object, or one list, that holds hundreds of thousands of records. They
are read some at a time, by the same parser as whole files. Only what can be read so is: anything
odd is left to who reads the whole file, and says on which line it is.
"""

import json
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, TextIO

_AFTER = frozenset(",]} \t\n\r:")
_CHUNK = 1 << 18  # characters read and parsed at once
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)


class UnreadableError(ValueError):
    """The file is none that can be read in pieces."""


def stream(
    path: Path,
    *,
    parse_float: Callable[[str], Any] | None = None,
    within: Container[str] = (),
) -> Iterator[tuple[str | None, Any, bool]]:
    """The top level of a JSON object in order: key, value, and whether it goes on with a list.

    A list comes in pieces, one after the other, at least one; the first does not go on. So do
    objects of the keys `within`, member by member, and a list that is the whole file, of no
    key. Equal sizes of run lengths (`"size": [h, w]`) are one list.

    Raises:
        UnreadableError: it is neither, not UTF-8, or damaged; pieces may have come before.
    """
    decoder = json.JSONDecoder(parse_float=parse_float, object_hook=_Sizes())
    try:
        with open(path, encoding="utf-8", errors="surrogatepass", newline="") as file:
            yield from _Reader(file, decoder).top(within)
    except ValueError as error:
        raise UnreadableError(str(error)) from error


def read_whole(path: Path, *, parse_float: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """All of it, as `json.loads` gives it.

    Raises:
        UnreadableError: as `stream`.
    """
    found: dict[str, Any] = {}
    for key, value, goes_on in stream(path, parse_float=parse_float):
        if key is None:
            raise UnreadableError("it is a list")
        if goes_on:
            found[key].extend(value)
        else:
            found[key] = value
    return found


class _Sizes(dict[tuple[int, int], list[int]]):
    """Sees to it that equal sizes are one list; called with each object."""

    def __call__(self, found: dict[str, Any]) -> dict[str, Any]:
        size = found.get("size")
        if type(size) is list and len(size) == 2 and type(size[0]) is type(size[1]) is int:
            found["size"] = self.setdefault((size[0], size[1]), size)
        return found


class _Reader:
    """Text from a file, as much as is needed; `at` is where reading stands in it."""

    def __init__(self, file: TextIO, decoder: json.JSONDecoder) -> None:
        self._file, self._decoder = file, decoder
        self._text, self._at, self._ended = "", 0, False

    def top(self, within: Container[str]) -> Iterator[tuple[str | None, Any, bool]]:
        """Keys and values of the object that the file is, or its list in pieces."""
        if self._peek() == "[":
            yield from ((None, piece, number > 0) for number, piece in enumerate(self._pieces()))
        else:
            for key in self._keys():
                yield from self._member(key, within)
        if self._peek():
            raise ValueError("there is more after its end")

    def _keys(self) -> Iterator[str]:
        """Keys of an object; the value of each has to be read before the next."""
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            key = self._value()
            if type(key) is not str:
                raise ValueError("a key is no text")
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def _member(self, key: str, within: Container[str]) -> Iterator[tuple[str, Any, bool]]:
        begins = self._peek()
        if begins == "[":
            yield from ((key, piece, number > 0) for number, piece in enumerate(self._pieces()))
        elif begins == "{" and key in within:
            yield key, {}, False
            for inner in self._keys():
                yield key, {inner: self._value()}, True
        else:
            yield key, self._value(), False

    def _pieces(self) -> Iterator[list[Any]]:
        self._take("[")
        wanted, first = _CHUNK, True
        while True:
            self._peek()
            self._more(wanted)
            end, last = self._ends()
            if end == self._at and not last:
                if self._ended:
                    raise ValueError("a list does not end")
                wanted *= 2
                continue
            if end == self._at and not first:
                raise ValueError("a list ends with a comma")
            wanted, first = _CHUNK, False
            yield self._decoder.decode(f"[{self._text[self._at : end]}]")
            self._at = end
            if self._take(",]") == "]":
                return

    def _ends(self) -> tuple[int, bool]:
        """Where the last record at hand ends that is whole, and whether the list ends there."""
        depth, end = 0, self._at
        for token in _TOKEN.finditer(self._text, self._at):
            sign = token[0][0]
            if sign in "{[":
                depth += 1
            elif sign in "}]":
                depth -= 1
                if depth < 0:
                    return token.start(), True
                if depth == 0:
                    end = token.end()
        return end, False

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if self._ended:
                    raise
                self._more(2 * (len(self._text) - self._at) + _CHUNK)
                continue
            # a number at the end of the text may go on in the file
            if self._text[end : end + 1] in _AFTER or self._ended:
                self._at = end
                return found
            self._more(len(self._text) - self._at + _CHUNK)

    def _peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more(_CHUNK)

    def _take(self, wanted: str) -> str:
        found = self._peek()
        if not found or found not in wanted:
            raise ValueError(f"{found!r} stands where one of {wanted!r} should")
        self._at += 1
        return found

    def _more(self, length: int) -> None:
        """See that at least `length` characters are at hand, if there are so many."""
        missing = length - (len(self._text) - self._at)
        if missing > 0 and not self._ended:
            text = self._file.read(missing)
            self._ended = len(text) < missing
            self._text, self._at = self._text[self._at :] + text, 0
