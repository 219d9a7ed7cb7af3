"""Places outside this machine, `s3://bucket/folder`, through fsspec (docs/adr/0028).

A place is a `Path`, or for a URL what universal-pathlib makes of it: the same methods, and a
TypeError for what only a local file can do, so that nothing is silently taken for missing. Listings
are never kept: another machine may have written meanwhile. What fails midway is repeated by the
file system's own library; what still fails ends the command (`PlaceError`), for it says nothing
about the data.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard, cast

from partlab.errors import BackendUnavailableError, ConfigError, PlaceError

_URL = re.compile(r"(?P<kind>[A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])")
_INSTALL = "pip install 'partlab[s3]'"
_AT_ONCE = 64  # requests under way together, each with a whole picture in memory


def located(name: str | Path) -> Path:
    """The path, or the place of a URL; `Path` has made `s3:/bucket` of one that went through it.

    Raises:
        BackendUnavailableError: what opens such URLs is not installed.
        ConfigError: no such kind of URL is known, or it holds a password.
    """
    if not isinstance(name, str | Path):  # a place already
        return name
    found = _URL.match(str(name))
    if not found or Path(name).exists():
        return Path(name)
    kind, rest = found["kind"].lower(), str(name)[found.end() :]
    if "@" in rest.partition("/")[0]:
        raise ConfigError(
            f"the {kind} address holds a user name or a password",
            hint="leave it out: keys are taken from the environment (AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY) or from ~/.aws/credentials",
        )
    if kind == "file":
        return Path("/" + rest)
    try:
        from upath import UPath

        return cast(Path, UPath(f"{kind}://{rest.rstrip('/')}", use_listings_cache=False))
    except ImportError as error:
        raise BackendUnavailableError(
            f"{kind}:// addresses need packages that are not installed ({error.name or error})",
            hint=_INSTALL if kind == "s3" else f"install fsspec's package for {kind}",
        ) from error
    except ValueError as error:
        raise ConfigError(f"{kind}:// is no kind of address that can be read: {error}") from error


def is_remote(path: Any) -> TypeGuard[Path]:
    """Whether a place is one of a URL."""
    return not isinstance(path, str | Path | bytes) and hasattr(path, "storage_options")


def real_name(path: Path) -> str:
    """The one name of a file or folder: of a local one without links on the way."""
    return str(path) if is_remote(path) else os.path.realpath(path)


def system(path: Path) -> Any:
    """The fsspec file system of a remote place: this process's own, also after a fork."""
    import fsspec

    remote = cast(Any, path)
    return fsspec.filesystem(remote.protocol, **remote.storage_options)


@contextmanager
def reaching(path: object) -> Iterator[None]:
    """Say in one sentence what the network, or a lack of rights, refused; files not found stay.

    Raises:
        PlaceError: it did.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if told := refusal(error, path):
            raise told from error
        raise


def refusal(error: BaseException, path: object = "") -> PlaceError | None:
    """What an object store's library raised, as an error with a hint; None for other errors.

    Their own messages name no secret key, but may name a key id or hold a signed address; of those
    only the kind is told.
    """
    name, module = type(error).__name__, type(error).__module__.partition(".")[0]
    where = f" {path}" if str(path) else ""
    if name in {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}:
        return PlaceError(
            f"no keys for{where or ' the object store'}",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure",
        )
    cause = type(error.__cause__).__module__.partition(".")[0] if error.__cause__ else ""
    libraries = {"botocore", "aiobotocore", "aiohttp", "s3fs", "aiohttp_retry"}
    if isinstance(error, PermissionError) and cause in libraries:
        return PlaceError(
            f"the object store refused{where}: these keys are wrong, or may not do that",
            hint="see which keys are set, and what the bucket's rules allow them",
        )
    if module not in libraries and cause not in libraries:
        return None
    return PlaceError(
        f"cannot reach{where or ' the object store'}: {name}",
        hint="see whether the network and AWS_ENDPOINT_URL are right; the same command goes on "
        "where this one stopped",
    )


def opened(path: Path) -> IO[bytes]:
    """A file to read, whole or in parts; of a remote one only what is asked for travels."""
    if not is_remote(path):
        return open(path, "rb")
    with reaching(path):
        return cast(IO[bytes], system(path).open(_key(path), "rb", block_size=1 << 20))


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        FileNotFoundError: there is none.
        PlaceError: it could not be had whole, though it was asked for again.
    """
    if not is_remote(path):
        return path.read_bytes()
    with reaching(path):
        return cast(bytes, system(path).cat_file(_key(path)))


def fetch(root: Path, names: Sequence[str], folder: Path) -> None:
    """Bring files below a remote place into a local folder, many at once; missing ones stay away.

    Raises:
        PlaceError: one could not be had; what says that is not about the file.
    """
    for start in range(0, len(names), _AT_ONCE):
        keys = {f"{_key(root)}/{name}": name for name in names[start : start + _AT_ONCE]}
        with reaching(root):
            found: Mapping[str, Any] = system(root).cat([*keys], on_error="return")
            for error in found.values():
                if isinstance(error, BaseException) and not isinstance(error, FileNotFoundError):
                    raise error
        for key, name in keys.items():
            if isinstance(found[key], bytes):
                write_below(folder, name, found[key])


def fetch_ranges(file: Path, spans: Mapping[str, tuple[int, int]], folder: Path) -> None:
    """Bring pieces of a remote file, (begin, end) in bytes, into files of a folder by name.

    Raises:
        PlaceError: one could not be had whole.
    """
    names = [*spans]
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        starts, ends = zip(*(spans[name] for name in some), strict=True)
        with reaching(file):
            found = system(file).cat_ranges([_key(file)] * len(some), starts, ends)
        for name, start, end, content in zip(some, starts, ends, found, strict=True):
            if len(content) != end - start:
                raise PlaceError(f"{file} came with {len(content)} bytes instead of {end - start}")
            write_below(folder, name, content)


def write_below(folder: Path, name: str, content: bytes) -> None:
    """Write a file in a folder, never outside it: keys of object stores may hold `..`."""
    if ".." in name.split("/") or name.startswith("/"):
        return
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def upload(files: Sequence[tuple[Path, Path]]) -> None:
    """Put local files at remote places, many at once; each is there whole or not at all.

    Raises:
        PlaceError: one could not be put.
    """
    if files:
        with reaching(files[0][1]):
            system(files[0][1]).put([str(local) for local, _ in files], [_key(p) for _, p in files])


def listing(root: Path) -> dict[str, int]:
    """Name below a remote folder -> bytes, in the order of `partlab.walk.walk`; no hidden ones.

    Raises:
        FileNotFoundError, PlaceError: nothing is there; it cannot be listed.
    """
    found: dict[str, int] = {}
    base = _key(root)
    with reaching(root):
        for folder, _, files in system(root).walk(base, detail=True, on_error="raise"):
            inside = folder[len(base) :].strip("/")
            for name, about in files.items():
                whole = f"{inside}/{name}" if inside else name
                if name and not whole.startswith(".") and "/." not in whole:
                    found[whole] = int(about["size"] or 0)
    return {name: found[name] for name in sorted(found, key=lambda each: each.split("/"))}


def sizes(root: Path, names: Iterable[str]) -> dict[str, int]:
    """Bytes of those files below a remote folder that are there, by lists of their folders."""
    wanted, found = set(names), dict[str, int]()
    base = _key(root)
    with reaching(root):
        for parent in sorted({name.rpartition("/")[0] for name in wanted}):
            try:
                listed = system(root).ls(f"{base}/{parent}".rstrip("/"), detail=True)
            except FileNotFoundError:
                continue
            for about in listed:
                name = about["name"][len(base) + 1 :]
                if name in wanted and about["type"] == "file":
                    found[name] = int(about["size"] or 0)
    return found


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        with reaching(path):
            return int(path.stat().st_size)
    except OSError:
        return None


def version_of(path: Path) -> str:
    """What changes when a remote file does: its tag, or its time, and its length.

    Raises:
        FileNotFoundError: there is none.
    """
    with reaching(path):
        about = system(path).info(_key(path))
    if about.get("type") != "file":
        raise FileNotFoundError(str(path))
    kept = (about.get(key) for key in ("ETag", "etag", "LastModified", "mtime", "size"))
    return str([str(each) for each in kept])


def remove(path: Path) -> None:
    """Take a remote file or folder away."""
    with reaching(path):
        system(path).rm(_key(path), recursive=True)


def need_local(path: Path, what: str) -> Path:
    """See that a place is on this machine.

    Raises:
        ConfigError: it is a URL.
    """
    if is_remote(path):
        raise ConfigError(f"{what} has to be on this machine, not at {path}")
    return path


def _key(path: Path) -> str:
    return str(cast(Any, path).path).rstrip("/")
