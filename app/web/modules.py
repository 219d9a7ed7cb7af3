"""ES modules of pages, `pages/NAME/modules/*.js`: served by a route of our own, when a page asks.

The hash of all of them stands in their address, so that a browser keeps them and takes none of
another version; they import one another as `./other.js`.
"""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

FOLDER = "modules"


@cache
def _modules() -> dict[str, bytes]:
    """`inspect/keys.js` -> what it says."""
    files = sorted(Path(__file__).parent.glob(f"pages/*/{FOLDER}/*.js"))
    return {f"{file.parent.parent.name}/{file.name}": file.read_bytes() for file in files}


@cache
def _version() -> str:
    told = hashlib.sha256()
    for name, text in _modules().items():
        told.update(name.encode() + b"\0" + text + b"\0")
    return told.hexdigest()[:16]


def begun(name: str) -> str:
    """JavaScript for `gr.HTML(js_on_load=…)`: load the module `page/file.js` and call its `begin`.

    Raises:
        KeyError: there is no such module.
    """
    _modules()[name]
    address = f"{FOLDER}/{_version()}/{name}"
    return f"import(new URL('{address}', document.baseURI)).then((page) => page.begin(element))"


def router(base: str) -> APIRouter:
    """The route that answers with them; no other file is asked for."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{base}/{FOLDER}/{{version}}/{{page}}/{{file}}")
    def module(version: str, page: str, file: str) -> Response:
        text = _modules().get(f"{page}/{file}") if version == _version() else None
        if text is None:
            return PlainTextResponse("no such script: load the page again\n", 404)
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(text, media_type="text/javascript; charset=utf-8", headers=headers)

    return router
