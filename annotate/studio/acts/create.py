"""Rounds of a work become Label Studio projects: whatever is missing is made, nothing twice.

    handed_out = create(work, studio, annotators=["ann@example.org", "ben@example.org"])

Safe to run again at any time, also after `kill -9`: a project that was made but not noted is
found by what its interface says, a task by the image it shows.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annotate.studio.acts.annotators import Annotators
from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.carried import carried
from annotate.studio.acts.examples import example_pictures
from annotate.studio.acts.instructions import Rejected, instructions
from annotate.studio.acts.refill import refill as refill_rounds
from annotate.studio.acts.rounds import (
    BEING_DRAWN,
    HandedOut,
    Start,
    because,
    handed_out,
    named_objects,
    plan_rounds,
    with_note,
)
from annotate.studio.acts.tabs import make_tabs
from annotate.studio.acts.todo import last_rejection, tell, todos
from annotate.studio.acts.wall import look_of, tidy_wall
from annotate.studio.api.access import Access, ensure_access, find_access
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import (
    BATCH,
    IDS,
    Fields,
    Key,
    add_tasks,
    chunks,
    facts_of,
    find_projects,
    is_there,
    make_project,
    mark,
    task_ids,
)
from annotate.studio.api.users import need_users
from annotate.studio.spelling.interface import asking
from annotate.studio.spelling.labelconfig import (
    check_config,
    config_hash,
    has_two_lists,
    label_config,
)
from annotate.studio.spelling.mark import HELP, marked, unmarked
from annotate.studio.spelling.names import TODO
from annotate.work import Batch, Image, Task, Work, open_images, safe_name
from annotate.work.pictures import (
    EXAMPLES,
    FOLDER,
    part_picture,
    save_examples,
    shown_in_examples,
    shown_picture,
)
from partlab.coco import find_splits, read_dataset
from partlab.counts import counted
from partlab.errors import NotFoundError, PartlabError, StudioError
from partlab.images import is_image_name
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)


def create(
    work: Work,
    studio: Studio,
    *,
    objects: Sequence[str] = (),
    annotators: Annotators | None = None,
    start_from: Start = "fresh",
    examples: Dataset | Path | None = None,
    refill: bool = False,
    new_parts: bool = False,
) -> list[HandedOut]:
    """Hand out every category that is new or was rejected, and make what is missing in the studio.

    Args:
        work: the annotation work.
        studio: the server.
        objects: only these object categories; all if none is named.
        annotators: emails for round robin, or one for each object category. A category keeps
            its annotator from round to round unless a mapping says otherwise.
        start_from: what a round after a rejection begins with: nothing, or the masks of the
            round before.
        examples: a part data set or a folder of pictures for the instructions, of new projects
            and of those that are being drawn.
        refill: hand out other pictures in place of those whose discard is final.
        new_parts: begin the next round of accepted categories whose vocabulary has parts by now
            that nobody could have drawn, with what was drawn.

    Raises:
        ConfigError: somebody has to draw a category, and nobody is named.
        UnknownNameError: an annotator has no account, or the work no such category.
        NotFoundError: more pictures are wanted, and their source is gone.
        StudioError: the server cannot be reached, or may not show the pictures.
        BusyError: another process is doing the same.
    """
    who = str(studio.whoami()["email"])
    with handing_out(work.folder):
        objects = named_objects(work, objects)
        planned = plan_rounds(work, annotators, start_from, objects, new_parts=new_parts)
        need_users(studio, sorted({str(data["assignee"]) for _, data in planned}))
        for (owner, round), data in planned:
            work.record("planned", who=who, object=owner, round=round, data=data)
        short = refill_rounds(work, who, objects) if refill else {}
        batches = [batch for batch in work.batches() if batch.object in objects]
        found = find_projects(studio, work)
        new = [b for b in batches if b.state in BEING_DRAWN and (b.object, b.round) not in found]
        need_users(studio, sorted({batch.assignee for batch in new}))
        builder = _Builder(work, studio, who, found, examples)
        told = [builder.build(batch) for batch in track(batches, "projects", len(batches))]
        for batch in (work.batch(one.object, one.round) for one in told):
            if batch.state in BEING_DRAWN and batch.project_id is not None:
                tell(work, studio, batch, who)
        tidy_wall(work, studio)
        return [with_note(one, annotators, short.get(one.object, "")) for one in told]


def renew_project(work: Work, studio: Studio, batch: Batch, version: int) -> str:
    """Give a round's project the interface and instructions of a version of the vocabulary.

    Returns the hash of the interface.

    Raises:
        StudioError: the project is gone, or the server refuses.
    """
    builder = _Builder(work, studio, "", {})
    if batch.project_id is None:
        raise StudioError(f"{batch.object} round {batch.round} has no project")
    project, batch = batch.project_id, Batch(**{**asdict(batch), "vocabulary_version": version})
    before = studio.get(f"/api/projects/{project}/")
    builder.two_lists = has_two_lists(before["label_config"])
    config, facts = builder._config(batch), mark(work, batch)
    if helped := facts_of(before).get(HELP):  # a model goes on helping
        config, facts = asking(config, on=True), {**facts, HELP: helped}
    check_config(config)
    fields = {"label_config": marked(config, facts)}
    studio.patch(f"/api/projects/{project}/", fields)
    builder._instruct(batch, project, builder._access(batch, project))
    return config_hash(config)


def read_examples(source: Path) -> Dataset | Path:
    """Examples for the instructions: a part data set, or a folder of finished pictures.

    Raises:
        NotFoundError: there is nothing of the kind.
    """
    try:
        splits = find_splits(source)
    except NotFoundError:
        if not source.is_dir():
            raise
        return source
    return read_dataset(source, next(iter(splits)))


@dataclass
class _Builder:
    """Makes projects and tasks, knowing what is there already."""

    work: Work
    studio: Studio
    who: str
    found: dict[Key, int]
    examples: Dataset | Path | None = None
    access: Access | None = None
    two_lists: bool = False  # whether the project is an earlier version's

    def build(self, batch: Batch) -> HandedOut:
        """Bring one round into the studio as far as it is not there."""
        tasks = self.work.tasks(batch.object, batch.round)
        if batch.state not in BEING_DRAWN:
            return self._told(batch, tasks)
        project_id = self.found.get((batch.object, batch.round)) or self._undescribed(batch)
        waiting = self._waiting(batch, tasks, project_id)
        known = project_id is not None and project_id == batch.project_id
        if known and not waiting and self.examples is None:
            return self._told(batch, tasks)
        made = project_id is None
        if project_id is None:
            if batch.project_id is not None:
                log.warning(
                    "project %d of %s is gone from Label Studio: made afresh, with %s "
                    "still to be drawn", batch.project_id, batch.object,
                    counted(len(waiting), "image that is", "images that are"),
                )  # fmt: skip
            project_id = make_project(
                self.studio, self.work, (batch.object, batch.round), self._fields(batch)
            )
        with self._or_without(project_id if made else None):
            access = self._access(batch, project_id)
        if not known or self.examples is not None:
            self._instruct(batch, project_id, access)
        if not known:
            make_tabs(self.studio, project_id)
            hash = config_hash(self._config(batch))
            about = {"project_id": project_id, "config_hash": hash, "labels": IDS}
            self._record("opened", batch, about)
        added = self._add(batch, project_id, waiting, access, look=not made)
        return self._told(self.work.batch(batch.object, batch.round), tasks, made, added)

    def _undescribed(self, batch: Batch) -> int | None:
        """The round's project where somebody took away what it is found by, which is put back."""
        if batch.project_id is None or not is_there(self.studio, self.work, batch):
            return None
        log.warning(
            "the interface of project %d (%s) was changed by hand; what partlab finds it by is put "
            "back", batch.project_id, batch.object
        )  # fmt: skip
        path = f"/api/projects/{batch.project_id}/"
        xml = unmarked(self.studio.get(path)["label_config"])
        self.studio.patch(path, {"label_config": marked(xml, mark(self.work, batch))})
        return batch.project_id

    def _waiting(self, batch: Batch, tasks: Sequence[Task], project_id: int | None) -> list[int]:
        """Images without a task in this project; drawn ones of a lost project stay out."""
        with self.work.read() as session:
            undone = set(open_images(session, batch))
        return [
            task.image_id
            for task in tasks
            if task.task_id is None or (task.project_id != project_id and task.image_id in undone)
        ]

    def _config(self, batch: Batch) -> str:
        parts, reasons = self.work.parts(batch), self.work.settings.discard_reasons
        return label_config(parts, reasons, two_lists=self.two_lists)

    def _fields(self, batch: Batch) -> Fields:
        config = self._config(batch)
        check_config(config)
        look = look_of(self.work, batch)
        return Fields(
            title=look.title,
            description=look.description,
            label_config=marked(config, mark(self.work, batch)),
            show_collab_predictions=self.work.settings.model_help or bool(batch.start_from),
        )

    def _access(self, batch: Batch, project_id: int) -> Access:
        """The address of the pictures: found with the first project, tried with every one."""
        folder, url = self.work.folder, self.work.settings.image_url
        sample = shown_picture(folder, self.work.images(batch.object)[0])
        if self.access is None or url:
            self.access = find_access(self.studio, project_id, folder, sample, url)
        else:
            ensure_access(self.studio, project_id, folder, sample, self.access)
        return self.access

    @contextmanager
    def _or_without(self, new: int | None) -> Iterator[None]:
        """Take a new project away again when its pictures are not there, or not shown."""
        try:
            yield
        except PartlabError:
            if new is not None:
                with suppress(StudioError):
                    self.studio.delete(f"/api/projects/{new}/")
            raise

    def _instruct(self, batch: Batch, project_id: int, access: Access) -> None:
        parts, folder = self.work.parts(batch), self.work.folder
        if self.examples is not None:
            found = example_pictures(self.examples, parts)
            save_examples(folder, batch.object, found.pictures, found.shown)
        html = instructions(
            parts,
            self._config(batch),
            [access.url(path) for path in self._example_paths(batch.object)],
            self._rejection(batch),
            because(self.work, batch),
            shown=shown_in_examples(folder, batch.object),
            pictures={
                part.id: access.url(path)
                for part in parts.parts
                if part.example and (path := part_picture(folder, batch.object, part.id))
            },
        )
        fields = {"expert_instruction": html, "show_instruction": True}
        self.studio.patch(f"/api/projects/{project_id}/", fields)

    def _rejection(self, batch: Batch) -> Rejected | None:
        """Why the category is drawn again, with the names that the pictures have in the studio."""
        found = last_rejection(self.work, batch)
        if found is None:
            return None
        images = {image.id: self._name(image) for image in self.work.images(batch.object)}
        return found.round, [(images[id], why) for id, why in found.reasons.items()]

    def _example_paths(self, owner: str) -> list[str]:
        folder = self.work.folder / FOLDER / EXAMPLES / safe_name(owner)
        pictures = sorted(path for path in folder.glob("*") if is_image_name(path))
        return [f"{EXAMPLES}/{safe_name(owner)}/{path.name}" for path in pictures]

    def _add(
        self, batch: Batch, project_id: int, waiting: list[int], access: Access, *, look: bool
    ) -> int:
        there = task_ids(self.studio, self.work, project_id) if look else {}
        if known := {str(id): there[id] for id in waiting if id in there}:
            self._record("tasks", batch, {"project_id": project_id, "tasks": known})
        missing = [id for id in waiting if id not in there]
        payloads = self._payloads(batch, missing, access)
        for arrived in add_tasks(self.studio, project_id, payloads):
            ids = {str(image_id): task_id for image_id, task_id in arrived.items()}
            self._record("tasks", batch, {"project_id": project_id, "tasks": ids})
        if batch.start_from and missing and not self._shows_a_model(batch):
            self.studio.patch(f"/api/projects/{project_id}/", {"model_version": batch.start_from})
        return len(missing)

    def _shows_a_model(self, batch: Batch) -> bool:
        """Whether suggestions were pushed since, in place of what was drawn before."""
        tasks = self.work.tasks(batch.object, batch.round)
        return any(task.pushed for task in tasks)

    def _payloads(
        self, batch: Batch, image_ids: Sequence[int], access: Access
    ) -> Iterator[dict[str, Any]]:
        images = {i.id: i for i in self.work.images(batch.object, with_honeypots=True)}
        to_do = todos(self.work, batch)
        for some in chunks(image_ids, BATCH):
            before = dict[int, list[dict[str, Any]]]()
            if batch.start_from:
                chosen = [images[id] for id in some]
                before = carried(self.work, batch, chosen)
            for id in some:
                about = self._data(images[id], access) | {TODO: to_do.get(id, "")}
                task: dict[str, Any] = {"data": about}
                if id in before:
                    made = {"model_version": batch.start_from, "result": before[id]}
                    task["predictions"] = [made]
                yield task

    def _data(self, image: Image, access: Access) -> dict[str, Any]:
        path = shown_picture(self.work.folder, image).relative_to(self.work.folder / FOLDER)
        return {
            "image": access.url(path),
            "image_id": image.id,
            "object": image.object,
            "file_name": self._name(image),
            "width": image.shown[0],
            "height": image.shown[1],
            "partlab": self.work.settings.id,
        }

    def _name(self, image: Image) -> str:
        """What a picture is called in the studio."""
        if not self.mixed:
            return image.file_name
        path = shown_picture(self.work.folder, image)
        return path.relative_to(self.work.folder / FOLDER).as_posix()

    @cached_property
    def mixed(self) -> bool:
        """Whether honeypots are among the pictures: then no file name may give one away."""
        return bool(self.work.honeypots())

    def _record(self, what: str, batch: Batch, data: dict[str, Any]) -> None:
        self.work.record(what, who=self.who, object=batch.object, round=batch.round, data=data)

    def _told(
        self, batch: Batch, tasks: Sequence[Task], made: bool = False, added: int = 0
    ) -> HandedOut:
        url = self.studio.project_url(batch.project_id) if batch.project_id else None
        return handed_out(batch, tasks, made, added, url)
