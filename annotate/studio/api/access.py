"""How the Label Studio server gets to a work's pictures: found out, and tried.

Either the server reads them from disk ("local files": it must have been started with a document
root above the work), or a web server of the user's own serves WORK/images at some address.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from annotate.studio.api.client import RefusedError, Studio
from annotate.web import is_loopback, open_http
from annotate.work.pictures import FOLDER, url_path
from partlab.errors import StudioError

_LOCAL = "/data/local-files/?d="
_STORAGES = "/api/storages/localfiles"
_IS_ROOT = "cannot be the same"  # as its document root, says Label Studio


@dataclass(frozen=True, slots=True)
class Access:
    """Addresses of pictures: `prefix` followed by their path below WORK/images."""

    prefix: str

    def url(self, path: Path | str) -> str:
        """The address of a picture given by its path below WORK/images."""
        return f"{self.prefix}{url_path(path)}"


def find_access(
    studio: Studio, project_id: int, work: Path, sample: Path, image_url: str | None = None
) -> Access:
    """Find the address of a work's pictures by fetching one of them.

    Without `image_url` the project gets a storage for WORK/images: one project's storage lets
    every user of the server see what lies below it.

    Args:
        studio: the server.
        project_id: a project of this work.
        work: the work's folder.
        sample: a prepared picture of the work, for trying.
        image_url: the address of WORK/images on a web server.

    Raises:
        StudioError: the picture does not come back; the hint says how to start the server.
    """
    if image_url:
        return _remote(studio.url, image_url, work, sample)
    folder = _share(studio, project_id, work / FOLDER)
    wanted = sample.read_bytes()
    path = sample.absolute().relative_to((work / FOLDER).absolute())
    for prefix in _prefixes(folder):
        access = Access(f"{_LOCAL}{url_path(prefix)}/")
        if _fetched(studio, access.url(path)) == wanted:
            return access
    raise StudioError(
        f"Label Studio does not show the pictures in {folder}", hint=_how_to_start(work)
    )


def need_access(studio: Studio, work: Path) -> None:
    """See that the server may show pictures of a work that is not begun yet; nothing is left there.

    Raises:
        StudioError: it may not; the hint says how to start the server.
    """
    why = ""
    with _some_project(studio) as project:
        for folder in dict.fromkeys([_there(work.absolute()), _there(work.resolve())]):
            why = _refusal(studio, project, folder)
            if _IS_ROOT in why:  # what lies below it can be shown, unless no file can
                below = next((one for one in folder.iterdir() if _lies_here(one)), None)
                why = _refusal(studio, project, below) if below else ""
            if not why:
                return
    raise StudioError(
        f"Label Studio may not read {work / FOLDER}{_reason(why)}", hint=_how_to_start(work)
    )


def _refusal(studio: Studio, project: int, folder: Path) -> str:
    """Why the server would share no such folder; nothing if it would."""
    fields = {"project": project, "title": "partlab", "path": str(folder)}
    try:
        studio.request("POST", f"{_STORAGES}/validate", json=fields, again=True)
    except RefusedError as error:
        if error.status != 400:
            raise
        return error.message
    return ""


def _lies_here(path: Path) -> bool:
    """Whether it is a folder that lies where it is listed: a link may lead anywhere."""
    return path.is_dir() and not path.is_symlink()


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


@contextmanager
def _some_project(studio: Studio) -> Iterator[int]:
    """Any project of the server; one that has to be made for this is deleted again."""
    first = next(iter(studio.pages("/api/projects/", size=1, include="id")), None)
    if first is not None:
        yield int(first["id"])
        return
    made = int(studio.post("/api/projects/", {"title": "partlab looks at the pictures"})["id"])
    try:
        yield made
    finally:
        studio.delete(f"/api/projects/{made}/")


def ensure_access(
    studio: Studio, project_id: int, work: Path, sample: Path, access: Access
) -> None:
    """Let a further project see the work's pictures, so that no project depends on another.

    Raises:
        StudioError: `sample`, a prepared picture of it, does not come back.
    """
    folder = _share(studio, project_id, work / FOLDER)
    path = sample.absolute().relative_to((work / FOLDER).absolute())
    if _fetched(studio, access.url(path)) != sample.read_bytes():
        raise StudioError(
            f"Label Studio does not show {sample}",
            hint=f"may it read all that lies in {folder}?",
        )


def _share(studio: Studio, project_id: int, images: Path) -> Path:
    """Give the project a storage for the folder, unless it has it; the path the server takes."""
    images = images.absolute()
    candidates = list(dict.fromkeys([images, images.resolve()]))
    known = {one["path"] for one in studio.get(_STORAGES, project=project_id)}
    for folder in candidates:
        if str(folder) in known:
            return folder
    why = ""
    for folder in candidates:
        fields = {"project": project_id, "title": "partlab", "path": str(folder)}
        try:
            studio.post(_STORAGES, {**fields, "use_blob_urls": True})
            return folder
        except RefusedError as error:
            why = error.message
            if error.status != 400:
                raise
    raise StudioError(
        f"Label Studio may not read {images}{_reason(why)}", hint=_how_to_start(images.parent)
    )


def _reason(message: str) -> str:
    if "does not exist" in message:
        return ": it does not see this folder (does it run in a container or elsewhere?)"
    if "DOCUMENT_ROOT" in message:
        return ": its document root is not above it"
    return ": serving local files is switched off" if "SERVING_ENABLED" in message else ""


def _how_to_start(work: Path) -> str:
    root = work.resolve().parent
    return (
        f"start the server with `partlab studio up DIR --root {root}`, "
        f"or serve {work / FOLDER} yourself and pass its address with --image-url"
    )


def _prefixes(folder: Path) -> Iterator[Path]:
    """The folder relative to each folder above it: one of them is the document root."""
    for root in list(folder.parents)[:-1]:
        yield folder.relative_to(root)


def _fetched(studio: Studio, url: str) -> bytes | None:
    try:
        with studio.stream("GET", url) as answer:
            return answer.read()
    except RefusedError as error:
        if error.status in (400, 403, 404, 500):  # not the document root
            return None
        raise


def _remote(studio_url: str, image_url: str, work: Path, sample: Path) -> Access:
    access = Access(image_url.rstrip("/") + "/")
    url = access.url(sample.absolute().relative_to((work / FOLDER).absolute()))
    hint = f"--image-url is the address that shows {work / FOLDER}"
    try:
        with open_http(url, timeout=60, follow_redirects=True) as browser:
            answer = browser.get(url, headers={"Origin": _origin(studio_url)})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StudioError(f"cannot fetch {url}: {type(error).__name__}", hint=hint) from error
    if answer.content != sample.read_bytes():
        what = f"{url} is not the picture {sample} (status {answer.status_code})"
        raise StudioError(what, hint=hint)
    _need_shown(answer, url, studio_url)
    return access


def _origin(url: str) -> str:
    """Scheme, host and port: what a browser calls the site that a page came from."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _need_shown(answer: httpx.Response, url: str, studio_url: str) -> None:
    """See that browsers will show the picture in the pages of Label Studio."""
    site = _origin(studio_url)
    if site.startswith("https:") and url.startswith("http:") and not is_loopback(url):
        raise StudioError(
            f"browsers show no picture from {url} in the pages of {site}",
            hint="pages that come by https may show only pictures that do so too",
        )
    # Which site is allowed is not looked at: annotators may come by another address than ours.
    if _origin(url) != site and not answer.headers.get("access-control-allow-origin"):
        raise StudioError(
            f"browsers show no picture from {url} in the pages of {site}: the server that has "
            "it does not allow it",
            hint=f"let it send the header `Access-Control-Allow-Origin: {site}` (CORS)",
        )
