"""Model help inside Label Studio: a served segmenter behind the projects that are being drawn.

    told = connect(work, studio, backend, {"ram": "sheep"})

A connected project has two more tools, a click and a box, that are answered with a mask. Safe to
run again: what is there already stays, and another server takes the place of the one before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from annotate.facts import Facts
from annotate.studio.acts.push import need_model_help
from annotate.studio.acts.rounds import BEING_DRAWN
from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.projects import facts_of, need_own
from annotate.studio.spelling.interface import asking, can_be_asked
from annotate.studio.spelling.labelconfig import config_hash
from annotate.studio.spelling.mark import HELP, marked, unmarked
from annotate.work import Batch, Work
from partlab.errors import StateError, StudioError

_TITLE = "partlab: "  # of every backend that is ours
_USER = "partlab"  # Label Studio sends a key as somebody's password
_BLOCKED = (
    "a Label Studio that may call this machine has ML_BLOCK_LOCAL_IP=false and "
    "SSRF_PROTECTION_ENABLED=false in its environment, as `partlab studio up` sets them"
)


@dataclass(frozen=True, slots=True)
class Backend:
    """A served segmenter as Label Studio reaches it: `url` without an end, `name` of the model."""

    url: str
    name: str
    key: str | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What it is called in Label Studio; suggestions of every version of it are shown."""
        return f"{_TITLE}{self.name}"

    def fields(self, project: int) -> dict[str, Any]:
        """The backend as Label Studio's API wants it."""
        about = {"url": self.url, "title": self.title, "project": project, "is_interactive": True}
        if self.key is None:
            return {**about, "auth_method": "NONE"}
        who = {"basic_auth_user": _USER, "basic_auth_pass": self.key}
        return {**about, "auth_method": "BASIC_AUTH", **who}


@dataclass(slots=True)
class Connected(Facts):
    """How one round stands with its model.

    `known_as` is what the segmenter calls the object; None: it does not know it, and there is no
    help. `tools`: whether annotators have the tools that ask; a project of an earlier version has
    not. `shows` is whose suggestions the page shows, as far as there are some.
    """

    object: str
    round: int
    project_id: int
    known_as: str | None = None
    tools: bool = False
    shows: str = ""


def connect(
    work: Work,
    studio: Studio,
    backend: Backend,
    known: Mapping[str, str],
    *,
    objects: Sequence[str] = (),
) -> list[Connected]:
    """Put a model behind every round that is being drawn, or behind those of some objects.

    `known` has what the segmenter calls each object category that it knows.

    Raises:
        StateError: the work forbids model help (D-05), or nothing is being drawn.
        UnknownNameError: the work has no such object category.
        StudioError: Label Studio cannot reach the model, or a project is not the work's.
    """
    need_model_help(work)
    told = []
    for batch in _open(work, objects):
        need_own(studio, work, batch)
        told.append(_connected(studio, batch, backend, known.get(batch.object)))
    return told


def disconnect(work: Work, studio: Studio, *, objects: Sequence[str] = ()) -> list[Connected]:
    """Take the model and its tools away again; what was drawn with it stays.

    Raises:
        StateError: nothing is being drawn.
        UnknownNameError, StudioError: as `connect`.
    """
    told = []
    for batch in _open(work, objects):
        need_own(studio, work, batch)
        told.append(_without(studio, batch))
    return told


def _open(work: Work, objects: Sequence[str]) -> list[Batch]:
    batches = [work.batch(name) for name in objects] if objects else work.batches()
    found = [b for b in batches if b.state in BEING_DRAWN and b.project_id is not None]
    if not found:
        raise StateError(
            f"nothing is being drawn in {work.folder}", hint="run `partlab studio create` first"
        )
    return found


def _connected(studio: Studio, batch: Batch, backend: Backend, name: str | None) -> Connected:
    if name is None:
        return _without(studio, batch)
    id = int(batch.project_id or 0)
    _register(studio, id, backend)
    project = studio.get(f"/api/projects/{id}/")
    _rewrite(studio, project, name)
    shown = str(project.get("model_version") or "")
    if not shown or shown.startswith(_TITLE):
        shown = backend.title
        studio.patch(f"/api/projects/{id}/", {"model_version": shown})
    tools = can_be_asked(unmarked(project["label_config"]))
    return Connected(batch.object, batch.round, id, name, tools, shown)


def _without(studio: Studio, batch: Batch) -> Connected:
    id = int(batch.project_id or 0)
    for one in own_backends(studio, id):
        studio.delete(f"/api/ml/{one['id']}")
        _no_events(studio, id, one["url"])
    project = studio.get(f"/api/projects/{id}/")
    _rewrite(studio, project, None)
    return Connected(batch.object, batch.round, id, shows=str(project.get("model_version") or ""))


def _rewrite(studio: Studio, project: Mapping[str, Any], name: str | None) -> None:
    """The project's interface with or without the tools, and with what the model calls it."""
    old = project["label_config"]
    facts = {key: value for key, value in facts_of(project).items() if key != HELP}
    facts |= {HELP: name} if name is not None else {}
    new = marked(asking(unmarked(old), on=name is not None), facts)
    if config_hash(new) != config_hash(old) or facts != facts_of(project):
        studio.patch(f"/api/projects/{project['id']}/", {"label_config": new})


def own_backends(studio: Studio, project: int) -> list[dict[str, Any]]:
    """Our backends of a project; Label Studio asks each of them how it is."""
    found = studio.get("/api/ml", project=project)
    return [one for one in found if str(one.get("title")).startswith(_TITLE)]


def _register(studio: Studio, project: int, backend: Backend) -> None:
    """See to it that the project has this backend, and no other of ours."""
    fields, there = backend.fields(project), own_backends(studio, project)
    first = there[0] if there else None
    for one in there[1:]:
        studio.delete(f"/api/ml/{one['id']}")
    try:
        if first is None:
            studio.post("/api/ml", fields)
        elif backend.key is not None or any(first.get(key) != fields[key] for key in fields):
            studio.patch(f"/api/ml/{first['id']}", fields)
    except RefusedError as error:
        if first is None:  # a refusal may leave half of it behind
            for one in own_backends(studio, project):
                studio.delete(f"/api/ml/{one['id']}")
        raise _unreached(studio, backend, error) from error
    for url in {backend.url, first["url"] if first else backend.url}:
        _no_events(studio, project, url)


def _unreached(studio: Studio, backend: Backend, error: RefusedError) -> StudioError:
    if error.status == 403 or "local" in error.message.lower():
        return StudioError(f"{studio.url} may not call {backend.url}", hint=_BLOCKED)
    words = error.message.partition(" <a ")[0]
    hint = "is the model server running, does Label Studio reach it by this address (localhost "
    hint += "is another machine in a container), and does it take the key?"
    return StudioError(f"{studio.url} does not get on with {backend.url}: {words:.400}", hint=hint)


def _no_events(studio: Studio, project: int, url: str) -> None:
    """Label Studio tells a backend of every event, while the annotator waits; nobody needs that."""
    for one in studio.get("/api/webhooks/", project=project):
        if one["url"] == f"{url.rstrip('/')}/webhook":
            studio.delete(f"/api/webhooks/{one['id']}/")


def number_of(project: Mapping[str, Any]) -> str:
    """What Label Studio calls a project when it talks to a backend."""
    made = datetime.fromisoformat(str(project["created_at"]))
    return f"{project['id']}.{int(made.timestamp())}"
