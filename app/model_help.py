"""A served segmenter and the projects of a work brought together: what each has to know."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from shlex import quote as shell
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from annotate.studio.acts.connect import Backend, Connected, connect, number_of, own_backends
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import facts_of
from annotate.studio.spelling.mark import HELP
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
    backend = Backend(f"{origin.server.url}/studio/{quote(about['name'])}", about["name"], key)
    names = {ours: each.name for ours, each in known.items()}
    told = connect(work, studio, backend, names, objects=objects)
    _need_pictures(studio, origin.server, quote(about["name"]), told)
    return Helper(f"{about['name']}@{about['version']}", backend.url, told)


def follow_on(work: Work, studio: Studio, objects: Iterable[str]) -> dict[str, str]:
    """Put the model behind new rounds that was behind the ones before; what came of it, by object.

    `objects` are those whose new round was just made. One whose round before had no model gets
    none, and nothing is said. Where the model server is not to be had, the words say what to run.
    """
    behind: dict[str, list[str]] = defaultdict(list)
    for name in objects if work.settings.model_help else ():
        if url := _model_before(work, studio, name):
            behind[url].append(name)
    return {
        name: words
        for url, names in behind.items()
        for words in [_follow(work, studio, url, names)]
        for name in names
    }


def _model_before(work: Work, studio: Studio, object: str) -> str | None:
    """The address of the model behind the round before the current one; None: it had none."""
    rounds = [each for each in work.rounds(object) if each.project_id is not None]
    if len(rounds) < 2:
        return None
    before = rounds[-2].project_id
    try:
        if not facts_of(studio.get(f"/api/projects/{before}/")).get(HELP):
            return None
        return next((str(one["url"]) for one in own_backends(studio, int(before or 0))), None)
    except StudioError:  # somebody deleted that project
        return None


def _follow(work: Work, studio: Studio, url: str, objects: list[str]) -> str:
    import os

    from segmenter.remote import KEY
    from segmenter.remote import connect as reach

    server, _, model = url.rpartition("/studio/")
    key = os.environ.get(KEY) or None
    try:
        origin = reach(server, model=unquote(model), key=key, patience=5)
        told = connect_work(work, studio, origin, key=key, objects=objects)
    except PartlabError as error:
        again = f"partlab studio connect {shell(str(work.folder))} {shell(server)}"
        return f"no model help yet: {error.message}; when that is mended: {again}"
    return f"{told.model} helps, as in the round before"


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
    """Why a model server does not see the pictures of a project; None where it does.

    `model` is its name as it stands in an address.
    """
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
