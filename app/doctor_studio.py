"""Whether model help can work: Label Studio, the model servers behind it, and the pictures."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from annotate.studio.acts.connect import own_backends
from annotate.studio.api.client import Studio
from annotate.studio.api.connection import TOKEN_VARIABLE
from annotate.studio.api.tokens import TokenKind, kind_of
from app.doctor import Part
from app.model_help import blind
from partlab.errors import PartlabError, StudioError

_LEGACY = "legacy tokens"


def examine_studio(url: str) -> list[Part]:
    """Look at a Label Studio and all that partlab connected to it; never raises for what is amiss.

    The token is taken from PARTLAB_STUDIO_TOKEN, and the key of model servers from
    PARTLAB_SERVE_KEY.
    """
    try:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise StudioError(
                f"{TOKEN_VARIABLE} is not set", hint="copy one from Account & Settings into it"
            )
        with Studio(url, token, timeout=10) as studio:
            return [*_entry(studio, kind_of(token)), *_backends(studio)]
    except PartlabError as error:
        return [_amiss("Label Studio", error)]


def _entry(studio: Studio, kind: TokenKind) -> Iterator[Part]:
    who = studio.whoami()["email"]
    yield Part("Label Studio", "present", f"{studio.url} knows us as {who}; {kind.value}", True)
    settings = studio.get("/api/jwt/settings")
    if settings.get("legacy_api_tokens_enabled"):
        yield Part(_LEGACY, "present", "are on, so model servers can fetch pictures", True)
        return
    # Label Studio hands its model servers nothing else.
    yield Part(
        _LEGACY,
        "missing",
        "are off, and Label Studio hands model servers no other",
        False,
        "switch them on under Organization > API Tokens Settings, or start the model server with "
        f"--studio {studio.url} and {TOKEN_VARIABLE} in its environment",
    )


def _backends(studio: Studio) -> Iterator[Part]:
    found = 0
    for project in studio.pages("/api/projects/", include="id,title,created_at"):
        for backend in own_backends(studio, project["id"]):
            found += 1
            yield from _backend(studio, project, backend)
    if not found:
        get = "partlab studio connect WORK http://127.0.0.1:8600"
        yield Part("model help", "missing", "no project is connected", False, get)


def _backend(studio: Studio, project: dict[str, Any], backend: dict[str, Any]) -> Iterator[Part]:
    """Both ways of one project's model: the server to it, and it to the pictures."""
    name, url = f"project {project['id']}", backend["url"]
    if backend["state"] != "CO":
        why = str(backend.get("error_message") or "it does not answer")
        yield Part(
            f"{name}: to the model",
            "broken",
            f"Label Studio does not reach {url}: {why:.200}",
            True,
            "start it (partlab serve RUN), or connect the work to where it is now; in a container "
            "localhost is the container itself",
        )
        return
    version = backend.get("model_version")
    yield Part(f"{name}: to the model", "present", f"{version} answers at {url}", True)
    yield _pictures(studio, project, name, url)


def _pictures(studio: Studio, project: dict[str, Any], name: str, url: str) -> Part:
    from segmenter.remote import KEY, Server

    root, _, model = url.rpartition("/studio/")
    what = f"{name}: model to pictures"
    try:
        server = Server(root, os.environ.get(KEY) or None, patience=5)
        error = blind(studio, server, model, project)
    except PartlabError as raised:
        error = raised
    if error is None:
        return Part(what, "present", f"{urlsplit(url).netloc} sees them", True)
    return _amiss(what, error)


def _amiss(name: str, error: PartlabError) -> Part:
    return Part(
        name, "broken", error.message, True, error.hint or "the log of the server says more"
    )
