"""A served segmenter and the projects of a work brought together: what each has to know."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from annotate.studio.acts.connect import Backend, Connected, connect, number_of
from annotate.studio.api.client import Studio
from annotate.work import Work
from app.prelabel import known_to
from partlab.errors import PartlabError, StudioError

if TYPE_CHECKING:
    from segmenter.remote import ServedOrigin, Server


@dataclass(frozen=True, slots=True)
class Helper:
    """What was connected: the model, and how each round stands with it."""

    model: str
    url: str
    rounds: list[Connected] = field(default_factory=list)


def connect_work(
    work: Work,
    studio: Studio,
    origin: "ServedOrigin",
    *,
    key: str | None = None,
    objects: Sequence[str] = (),
) -> Helper:
    """Put a served segmenter behind the rounds that are being drawn.

    Raises:
        StateError: the work forbids model help (D-05), or nothing is being drawn.
        UnknownNameError: the segmenter knows none of the object categories.
        StudioError: Label Studio and the server do not reach each other; everything is registered
            when it is the pictures that the server does not see.
    """
    from annotate.studio.acts.push import need_model_help

    need_model_help(work)
    about = origin.about
    known = known_to(work, list(about["parts"]), objects)
    backend = Backend(f"{origin.server.url}/studio/{about['name']}", about["name"], key)
    names = {ours: each.name for ours, each in known.items()}
    told = connect(work, studio, backend, names, objects=objects)
    _need_pictures(studio, origin.server, about["name"], told)
    return Helper(f"{about['name']}@{about['version']}", backend.url, told)


def _need_pictures(studio: Studio, server: "Server", model: str, told: list[Connected]) -> None:
    helped = next((one for one in told if one.known_as is not None), None)
    project = studio.get(f"/api/projects/{helped.project_id}/") if helped else None
    if project and (why := blind(studio, server, model, project)):
        raise StudioError(
            f"connected, but no help comes: {why.message}", hint=why.hint or "see the server's log"
        )


def blind(
    studio: Studio, server: "Server", model: str, project: dict[str, Any]
) -> PartlabError | None:
    """Why a model server does not see the pictures of a project; None where it does."""
    page = studio.get("/api/tasks", project=project["id"], page_size=1, include="id,data")
    tasks = page["tasks"] if isinstance(page, dict) else page
    image = next((task["data"].get("image") for task in tasks), None)
    if image is None:
        return None
    query = urlencode({"image": image, "project": number_of(project)})
    try:
        server.get(f"/studio/{model}/picture?{query}")
    except PartlabError as error:
        return error
    return None
