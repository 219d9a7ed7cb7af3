"""What a lead does with a work from the page, each act as its command does it; told in words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partlab.counts import counted
from partlab.errors import ConfigError, PartlabError, UnknownNameError

if TYPE_CHECKING:
    from annotate.studio.api.client import Studio
    from annotate.work import Work
    from app.web.site import Site
    from segmenter.origin import Origin

LOOP = "version of the loop"
"""What the segmenter is called that the work's own loop serves."""


@dataclass(frozen=True, slots=True)
class Press:
    """A button that was pressed: of which category, and what was written or chosen beside it.

    `afresh` says that what was drawn or suggested before may be set aside. `server` is the address
    of the app's models, where a server has them.
    """

    act: str
    object: str = ""
    to: str = ""
    afresh: bool = False
    server: str | None = None


def do(site: "Site", folder: Path, press: Press) -> str:
    """What was pressed, and what came of it.

    Raises:
        UnknownNameError: there is no such act.
        PartlabError: as these acts.
    """
    from annotate.work import Work

    acts: dict[str, Callable[[Site, Work, Press], str]]
    acts = {
        "pull": _pull,
        "next": _next,
        "reassign": _reassign,
        "suggest": _suggest,
        "export": _export,
    }
    if press.act not in acts:
        raise UnknownNameError("act", press.act, acts)
    with Work.open(folder) as work:
        return acts[press.act](site, work, press)


def _studio() -> "Studio":
    from annotate.studio.api.client import Studio

    return Studio.from_env()


def _pull(site: "Site", work: "Work", press: Press) -> str:
    from annotate.studio.acts.pull import pull

    with _studio() as studio:
        who = str(studio.whoami()["email"])
        told = pull(work, studio, objects=[press.object] if press.object else (), who=who)
    new = sum(one.tasks for one in told)
    lost = [f"{one.object} was not read: {one.trouble}" for one in told if one.trouble]
    ready = [one.object for one in told if one.submitted]
    words = f"{counted(new, 'picture was', 'pictures were')} new"
    words += f"; {', '.join(ready)} handed in for inspection" if ready else ""
    return "; ".join((words, *lost))


def _next(site: "Site", work: "Work", press: Press) -> str:
    from annotate.studio.acts.create import create
    from app.model_help import follow_on

    with _studio() as studio:
        told = create(work, studio, objects=[press.object])
        helped = follow_on(work, studio, [one.object for one in told if one.made])
    words = [f"{one.object} round {one.round} is {one.state}" for one in told]
    return "; ".join([*words, *helped.values()])


def _reassign(site: "Site", work: "Work", press: Press) -> str:
    from annotate.studio.acts.create import create
    from annotate.studio.acts.reassign import reassign
    from app.model_help import follow_on

    if not press.to.strip():
        raise ConfigError("nobody is named", hint="write the email of the new annotator")
    with _studio() as studio:
        batch, redone = reassign(work, studio, press.object, press.to, force=press.afresh)
        planned = batch.state == "planned"
        told = create(work, studio, objects=[press.object]) if planned else []
        helped = follow_on(work, studio, [one.object for one in told if one.made])
    words = [f"{press.object} round {batch.round} goes to {batch.assignee}"]
    words += [f"{redone} answers are redone"] if redone else []
    return "; ".join([*words, *helped.values()])


def _suggest(site: "Site", work: "Work", press: Press) -> str:
    from annotate.studio.acts.push import push
    from app.prelabel import from_segmenter
    from app.told import pushed
    from pseudolabel.settings import Settings

    origin = _origin(site, work, press)
    source = from_segmenter(work, origin, Settings(), objects=[press.object])
    with _studio() as studio:
        told = push(
            work,
            studio,
            source.suggest,
            model=source.model,
            objects=[press.object],
            replace=press.afresh,
        )
    return f"{'; '.join(map(pushed, told))}; model {source.model}"


def suggesters(site: "Site", work: "Work") -> list[str]:
    """Who can suggest masks: the loop's version that is served, and the app's segmenters.

    Raises:
        PartlabError: the server that has them does not answer.
    """
    from segmenter.loop.versions import current

    loop = [LOOP] if current(work) else []
    return [*loop, *site.shelf.segmenters()]


def _origin(site: "Site", work: "Work", press: Press) -> "Path | Origin":
    from segmenter.loop.versions import current, whole_run
    from segmenter.remote import connect

    if press.to == LOOP and (version := current(work)):
        return whole_run(work.folder, version)
    known = site.shelf.segmenters()
    if press.to not in known:
        raise UnknownNameError("segmenter", press.to, suggesters(site, work))
    if not known[press.to].served:
        return Path(known[press.to].place)
    if press.server is None:
        raise PartlabError(f"the address of the server that has {press.to} is not known")
    return connect(press.server, model=press.to)


def _export(site: "Site", work: "Work", press: Press) -> str:
    """What is accepted, or one category of it, as a data set beside the work."""
    from annotate.inspect.build import Wanted
    from annotate.inspect.export import export
    from app.told import exported

    if not press.to or Path(press.to).name != press.to:
        raise ConfigError(f"{press.to!r} is no name of a folder", hint="such as parts")
    out = work.folder.resolve().parent / press.to
    wanted = Wanted(objects=(press.object,) if press.object else ())
    told: dict[str, Any] = export(work, out, wanted)
    return "\n".join(exported(out, told))
