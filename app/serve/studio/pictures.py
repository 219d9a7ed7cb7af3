"""Pictures of tasks, fetched from where they may be fetched and from nowhere else.

Whoever may ask this server could otherwise make it ask any address it reaches. So a picture comes
from the one Label Studio (with its token), from addresses and folders the server was started with,
or not at all; redirections are not followed.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.connection import TOKEN_VARIABLE
from annotate.web import http_address, is_loopback, open_http
from app.serve.settings import HelpSettings
from partlab.errors import ConfigError, DatasetError, NotFoundError, PartlabError

_LOCAL = "/data/local-files/"
_TIMEOUT = 8.0
_PROJECTS = 1000  # remembered; the longest silent is forgotten first
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Home:
    """A Label Studio, and a token that it takes."""

    url: str
    token: str = field(repr=False)


@dataclass
class Homes:
    """Where the pictures of each project are: what Label Studio said when it set us up.

    With `studio` in the settings that address counts, whatever Label Studio says of itself, and
    `token`, if there is one, in place of the one it hands out.
    """

    settings: HelpSettings
    token: str | None = field(default=None, repr=False)
    _known: OrderedDict[str, Home | PartlabError] = field(default_factory=OrderedDict)

    def learn(self, project: str, url: str, token: str) -> None:
        """Remember a project; one whose Label Studio we do not trust is remembered as such."""
        try:
            self._known[project] = Home(self._trusted(url), self.token or token)
        except PartlabError as error:
            self._known[project] = error
        self._known.move_to_end(project)
        while len(self._known) > _PROJECTS:
            self._known.popitem(last=False)

    def of(self, project: str) -> Home | None:
        """Where the pictures of a project are, if that is known.

        Raises:
            ConfigError: Label Studio says that it lives where we do not trust it.
        """
        found = self._known.get(project)
        if isinstance(found, PartlabError):
            raise found
        if found is None and self.settings.studio and self.token:
            return Home(self.settings.studio.rstrip("/"), self.token)
        return found

    def _trusted(self, url: str) -> str:
        if self.settings.studio:
            return self.settings.studio.rstrip("/")
        if http_address(url) is None or not is_loopback(url):
            raise ConfigError(
                f"Label Studio says that it is {url!r}, and this server was not told so",
                hint="start the server with --studio ADDRESS, as it is seen from there",
            )
        return url.rstrip("/")


@dataclass
class Pictures:
    """Reads the files of pictures by their address in a task; `most` bytes for each."""

    settings: HelpSettings
    most: int
    _studios: OrderedDict[Home, Studio] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def read(self, address: str, home_of: Callable[[], Home | None]) -> bytes:
        """The bytes of a picture; `home_of` is asked for what is neither named nor on disk.

        Raises:
            ConfigError: it may not be fetched from there.
            NotFoundError, StudioError, DatasetError: it is not there, or not to be had.
        """
        split = urlsplit(address)
        if split.path.startswith(_LOCAL) and (file := self._on_disk(split.query)) is not None:
            return _from_disk(file, self.most)
        if any(_below(address, root) for root in self._addresses):
            return self._plain(address)
        home = home_of()
        if home is not None and (path := _path_at(address, home.url)) is not None:
            return self._of_studio(path, home)
        raise ConfigError(
            f"the picture {address[:200]} may not be fetched{_why(address, home)}",
            hint="pictures come from the Label Studio that asks, or from what the server was "
            "started with: --pictures ADDRESS or --pictures FOLDER",
        )

    @property
    def _addresses(self) -> list[str]:
        return [each for each in self.settings.pictures if http_address(each) is not None]

    def _on_disk(self, query: str) -> Path | None:
        """The file of Label Studio's local files, in the folders that it shares with us."""
        name = unquote(parse_qs(query).get("d", [""])[0]).lstrip("/")
        for each in self.settings.pictures:
            if http_address(each) is None and name:
                root = Path(each).resolve()
                file = (root / name).resolve()
                if file.is_relative_to(root) and file.is_file():
                    return file
        return None

    def _plain(self, address: str) -> bytes:
        try:
            with (
                open_http(address, timeout=_TIMEOUT) as client,
                client.stream("GET", address) as answer,
            ):
                if not answer.is_success:
                    raise NotFoundError(f"no picture at {address}: status {answer.status_code}")
                return _limited(answer.iter_bytes(_PIECE), self.most)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotFoundError(f"no picture at {address}: {type(error).__name__}") from error

    def _of_studio(self, path: str, home: Home) -> bytes:
        try:
            with self._studio(home).stream("GET", path) as answer:
                return _limited(answer.iter_bytes(_PIECE), self.most)
        except RefusedError as error:
            if error.status != 401:
                raise
            raise _no_entry(home, error) from error

    def _studio(self, home: Home) -> Studio:
        """One connection for each token; a personal one is renewed by it before it ends."""
        with self._lock:
            if (found := self._studios.get(home)) is None:
                found = Studio(home.url, home.token, timeout=_TIMEOUT, pause=0.1)
                self._studios[home] = found
            self._studios.move_to_end(home)
            while len(self._studios) > _PROJECTS:
                self._studios.popitem(last=False)[1].close()
            return found

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            while self._studios:
                self._studios.popitem()[1].close()


def _from_disk(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return _limited([opened.read(most + 1)], most)


def _no_entry(home: Home, error: RefusedError) -> PartlabError:
    return ConfigError(
        f"{home.url} does not let this server see its pictures: {error.message}",
        hint="Label Studio hands out a legacy token, which works only while legacy tokens are "
        f"switched on (Organization > API tokens); or start the server with {TOKEN_VARIABLE} "
        "and --studio",
    )


def _path_at(address: str, home: str) -> str | None:
    """The address below a Label Studio, as its paths are; None where it is elsewhere."""
    if address.startswith("/") and not address.startswith("//"):
        return address
    return address.removeprefix(home) if _below(address, home) else None


def _below(address: str, root: str) -> bool:
    """Whether an address is the root's or below it: of one scheme, host and port, and no `..`."""
    if (one := http_address(address)) is None or (other := http_address(root)) is None:
        return False
    same = (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)
    plain = not one.userinfo and ".." not in unquote(one.path).split("/")
    # As they will be asked for: `a/../b` has become `b` here.
    return same and plain and str(one).startswith(str(other).rstrip("/") + "/")


def _why(address: str, home: Home | None) -> str:
    if home is None and address.startswith("/"):
        return ": this server does not know yet which Label Studio it is in (open the project anew)"
    return ": it is no address of http" if http_address(address) is None else ""


def _limited(pieces: Iterable[bytes], most: int) -> bytes:
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) > most:
            raise DatasetError(f"a picture has more than {most:,} bytes")
    return bytes(held)
