"""What people do from the page in the work that a data set comes from."""

import os
from dataclasses import dataclass
from pathlib import Path

from annotate.inspect.corrections import corrections, send_back
from annotate.inspect.overview import task_link
from annotate.inspect.telling import tell_annotators
from annotate.studio.acts.migrate import migrate
from annotate.studio.api.client import Studio
from annotate.vocabulary.edit import Editor, include_part
from annotate.work import Work, same_person
from app.web.pages.dataset.sources import Source, opened
from partlab.errors import PartlabError, StateError
from partlab.schema import Image

_GIVE_IT = "start the app with the work too, if there is one: partlab app DATA WORK"
_OTHER = "the work has another picture under this number"


@dataclass(frozen=True, slots=True)
class Back:
    """How an image can be sent back: `why_not` says why it cannot."""

    reasons: tuple[str, ...] = ()
    who: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class InWork:
    """What a work has of one image: its task's address, or why there is none, and the way back."""

    link: str | None = None
    no_link: str = ""
    back: Back | None = None


def in_work(source: Source, image: Image, who: str) -> InWork:
    """What can be done with an image in the work that was given."""
    if source.work is None:
        return InWork(back=Back(why_not=f"Off, as {source.no_work()}: {_GIVE_IT}."))
    with opened(source.work) as work:
        if work is None:
            return InWork(no_link="the work cannot be opened")
        try:
            need_same(work, image)
        except PartlabError as error:
            return InWork(no_link=error.message)
        link = task_link(work, image.id)
        server = bool(os.environ.get("PARTLAB_STUDIO_URL", "").strip())
        no_task = "It has no task in Label Studio." if server else ""
        unnamed = "Label Studio is not named (PARTLAB_STUDIO_URL), so its task has no address."
        return InWork(link, "" if link else no_task or unnamed, _back(work, image, who))


def need_same(work: Work, image: Image) -> None:
    """See that a work's image is that of a data set.

    Raises:
        NotFoundError: the work has no image of this id.
        StateError: it is another picture.
    """
    own = work.image(image.id)
    if own.file_name != image.file_name:
        raise StateError(f"{_OTHER}: {own.file_name}")


def _back(work: Work, image: Image, who: str) -> Back:
    object = work.image(image.id).object
    if object not in {batch.object for batch in work.batches()}:
        return Back(why_not=f"{object} was not handed out yet.")
    batch = work.batch(object)
    if batch.state != "accepted":
        state = f"{object} round {batch.round} is {batch.state}"
        return Back(why_not=f"{state}: single pictures are sent back once it is accepted.")
    if any(one.image_id == image.id for one in corrections(work, object)):
        return Back(why_not=f"It was sent back already; {batch.assignee} has it.")
    if same_person(batch.assignee, who):
        return Back(why_not="You drew it: another inspector sends it back.")
    return Back(work.settings.fail_reasons, batch.assignee)


def sent_back(source: Source, image: Image, who: str, reason: str, note: str) -> str:
    """Have an image drawn again, as `partlab inspect send-back` does; what came of it.

    Raises:
        StateError: no work was given, or as `annotate.inspect.corrections.send_back`.
        ConfigError, UnknownNameError: no reason, or none of the work's.
    """
    with Work.open(_need_work(source)) as work:
        need_same(work, image)
        object = work.image(image.id).object
        one = send_back(work, object, image.id, who, reason=reason or None, note=note or None)
        told = tell_annotators(work, [object])
    return "; ".join((f"{one.file_name} goes back to {one.annotator}: {one.reason}", *told))


def included(source: Source, object: str, inner: str, outer: str, who: str) -> str:
    """Declare in the work that one part lies in another, as `vocabulary include` and `migrate` do.

    Raises:
        StateError: no work was given.
        UnknownNameError, ConfigError: as `include_part`.
        StudioError: rounds are handed out, and Label Studio is not there.
    """
    by = Editor(who, "declared on a finding of the data set")
    with Work.open(_need_work(source)) as work:
        new = include_part(work.vocabulary, object, inner, outer, by)
        if any(batch.project_id for batch in work.batches()):
            with Studio.from_env() as studio:
                target, _ = migrate(work, studio, new, by=by)
        else:
            target, _ = migrate(work, None, new, by=by)
    words = f"{object}: {inner} lies in {outer}, in version {target.version} of the vocabulary"
    again = "" if source.is_work else "; export the work anew to have it in this data set"
    return words + again


def _need_work(source: Source) -> Path:
    if source.work is None:
        raise StateError(
            f"{source.name}: {source.no_work()}",
            hint=_GIVE_IT,
        )
    return source.work
