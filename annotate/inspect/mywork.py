"""What one annotator is to do, in order: what came back first, then what is still to be drawn.

for one in my_work(work, "ann@x.org"):
    print(one.object, one.words, one.url)
"""

from dataclasses import dataclass

from annotate.inspect.overview import studio_link
from annotate.inspect.pins import Pin, pins_of
from annotate.studio.acts.todo import last_rejection, todos
from annotate.work import Batch, Work, same_person
from partlab.counts import counted


@dataclass(frozen=True, slots=True)
class Chore:
    """One thing to do: to `fix` a picture, or to `draw` the rest of a category.

    `words` is what its task says; `pins` what an inspector pointed at, in masks of the round
    `pinned`. `url` leads to it in Label Studio, where a server is named.
    """

    kind: str
    object: str
    round: int
    words: str
    url: str | None
    image_id: int | None = None
    file_name: str = ""
    pins: tuple[Pin, ...] = ()
    pinned: int = 0


def my_work(work: Work, who: str) -> list[Chore]:
    """The chores of somebody, in the order of the categories; pictures to fix come first."""
    mine = [batch for batch in work.batches() if same_person(batch.assignee, who)]
    fixes = [chore for batch in mine for chore in _fixes(work, batch)]
    return [*fixes, *(chore for batch in mine for chore in _rest(work, batch))]


def _fixes(work: Work, batch: Batch) -> list[Chore]:
    wanted = todos(work, batch)
    if not wanted:
        return []
    tasks = {task.image_id: task.task_id for task in work.tasks(batch.object, batch.round)}
    before = last_rejection(work, batch)
    pinned = before.round if before and batch.state != "accepted" else batch.round
    pins = pins_of(work, batch.object, pinned)
    found = []
    for image, words in wanted.items():
        about = (batch.object, batch.round, words)
        url = studio_link(batch.project_id, tasks.get(image))
        name = work.image(image).file_name
        found.append(Chore("fix", *about, url, image, name, pins.get(image, ()), pinned))
    return found


def _rest(work: Work, batch: Batch) -> list[Chore]:
    """The pictures of a category that nobody has answered."""
    if batch.state not in ("planned", "annotating"):
        return []
    tasks = work.tasks(batch.object, batch.round)
    ids = {task.image_id for task in tasks} - work.honeypots(batch.object)
    there = {answer.image_id for answer in work.answers(batch.object, batch.round)}
    left = len(ids - there)
    if not left:
        return []
    begun = "continue" if left < len(ids) else "begin"
    words = f"{begun} {batch.object}: {len(ids) - left} of {counted(len(ids), 'picture')} drawn"
    return [Chore("draw", batch.object, batch.round, words, studio_link(batch.project_id))]
