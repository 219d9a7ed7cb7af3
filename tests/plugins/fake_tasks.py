"""What of Label Studio a pull needs, in memory: tasks with annotations, filtered and paged."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import numpy as np

from annotate.studio.api.client import Studio
from annotate.studio.spelling.shapes import Size
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary import ObjectParts
from annotate.work import Work
from partlab.masks import encode

Json = Any
Box = tuple[int, int, int, int]  # left, top, width, height
USERS = {1: "lead@x.org", 2: "ann@x.org", 3: "ben@x.org"}
SHOWN: Size = (64, 48)


def drawn(
    parts: ObjectParts, shown: Size = SHOWN, *, two_lists: bool = True, **boxes: Box
) -> list[Json]:
    """Brush regions, one rectangle for each part id: `drawn(parts, head=(5, 5, 20, 20))`.

    With `two_lists` they are spelled as in projects of earlier versions, one item for each region.
    """
    masks = []
    for part, (left, top, width, height) in boxes.items():
        pixels = np.zeros(shown[::-1], bool)
        pixels[top : top + height, left : left + width] = True
        masks.append(PartMask(part, 1, encode(pixels)))
    regions = regions_of(masks, parts, shown, two_lists=two_lists)
    return [{**region, "origin": "manual"} for region in regions]


def refused(reason: str = "low quality") -> Json:
    """The item of a discard."""
    value = {"choices": [reason]}
    return {
        "id": "d",
        "from_name": "discard",
        "to_name": "image",
        "type": "choices",
        "value": value,
    }


class FakeTasks:
    """Projects with tasks. Every change moves a clock of one second a step.

    `before` is called with the number of each request and may raise, or give another answer.
    """

    def __init__(self) -> None:
        self.projects: dict[int, str] = {}
        self.tasks: dict[int, dict[str, Json]] = {}
        self.models: dict[int, str] = {}
        self.requests: list[str] = []
        self.before: Callable[[int], httpx.Response | None] = lambda number: None
        self._clock = self._id = 0

    def add_round(self, work: Work, object: str, round: int = 1) -> int:
        """The project of a round that was handed out, with its tasks."""
        batch = work.batch(object, round)
        facts = {"work": work.settings.id, "kind": "annotate", "object": object, "round": round}
        assert batch.project_id is not None
        self.projects[batch.project_id] = json.dumps({"partlab": facts})
        for task in work.tasks(object, round):
            data = {"partlab": work.settings.id, "image_id": task.image_id, "object": object}
            self.add_task(batch.project_id, task.task_id or 0, data)
        return batch.project_id

    def add_task(self, project: int, id: int, data: Json) -> None:
        self.tasks[id] = {
            "id": id,
            "project": project,
            "data": data,
            "annotations": [],
            "updated_at": self.now(),
            "predictions_model_versions": "",
        }

    def now(self) -> str:
        """The time of the next change; whole seconds now and then, as the server spells them."""
        self._clock += 1
        minutes, seconds = divmod(self._clock, 60)
        hours, minutes = divmod(minutes, 60)
        part = "" if self._clock % 7 == 0 else ".250000"
        return f"2026-03-01T{10 + hours:02}:{minutes:02}:{seconds:02}{part}Z"

    def annotate(self, task: int, result: Json, by: int = 2, **fields: Json) -> int:
        """Somebody submits an annotation; its id."""
        self._id += 1
        at = self.now()
        made = {"id": self._id, "result": result, "completed_by": by, "updated_by": by}
        made |= {"updated_at": at, "was_cancelled": False, "lead_time": 90.0}
        made |= {"parent_prediction": None, **fields}
        self.tasks[task]["annotations"].append(made)
        self.tasks[task]["updated_at"] = at
        return self._id

    def change(self, annotation: int, by: int = 2, **fields: Json) -> None:
        """Somebody presses Update."""
        task, found = self._find(annotation)
        found.update(fields, updated_by=by, updated_at=self.now())
        task["updated_at"] = found["updated_at"]

    def delete(self, annotation: int) -> None:
        task, found = self._find(annotation)
        task["annotations"].remove(found)
        task["updated_at"] = self.now()

    def _find(self, annotation: int) -> tuple[Json, Json]:
        return next(
            (task, one)
            for task in self.tasks.values()
            for one in task["annotations"]
            if one["id"] == annotation
        )

    def suggest(self, task: int, prediction: int, model: str) -> None:
        """A prediction that an annotation may begin with."""
        self.models[prediction] = model
        known = [v for v in self.tasks[task]["predictions_model_versions"].split(",") if v]
        self.tasks[task]["predictions_model_versions"] = ",".join({*known, model})

    def client(self) -> Studio:
        transport = httpx.MockTransport(self._handle)
        return Studio("http://127.0.0.1:1", "0" * 40, transport=transport, pause=0.001)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(str(request.url))
        return self.before(number) or self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path, asked = request.url.path, parse_qs(request.url.query.decode())
        if path == "/api/current-user/whoami":
            return httpx.Response(200, json={"email": USERS[1], "id": 1})
        if path == "/api/users/":
            return httpx.Response(200, json=[{"id": i, "email": e} for i, e in USERS.items()])
        if path == "/api/projects/":
            rows = [{"id": id, "description": text} for id, text in self.projects.items()]
            return httpx.Response(200, json={"results": rows, "count": len(rows)})
        if path == "/api/tasks":
            return self._list(asked)
        id = int(path.rstrip("/").rpartition("/")[2])
        if path.startswith("/api/predictions/") and id in self.models:
            return httpx.Response(200, json={"id": id, "model_version": self.models[id]})
        if path.startswith("/api/projects/") and id in self.projects:
            return httpx.Response(200, json={"id": id, "description": self.projects[id]})
        return httpx.Response(404, json={"detail": "Not found."})

    def _list(self, asked: dict[str, list[str]]) -> httpx.Response:
        project = int(asked["project"][0])
        if project not in self.projects:
            return httpx.Response(404, json={"detail": "Not found."})
        query = json.loads(asked["query"][0])
        found = [task for task in self.tasks.values() if task["project"] == project]
        for wanted in query["filters"]["items"]:
            column = wanted["filter"].removeprefix("filter:tasks:")
            assert wanted["operator"] == "greater"
            found = [t for t in found if _key(t[column]) > _key(wanted["value"])]
        ordering = query["ordering"][0]
        column = ordering.lstrip("-").removeprefix("tasks:")
        found.sort(key=lambda task: _key(task[column]), reverse=ordering.startswith("-"))
        shown = asked["include"][0].split(",")
        page = found[: int(asked["page_size"][0])]
        rows = [{key: value for key, value in task.items() if key in shown} for task in page]
        return httpx.Response(200, json={"tasks": rows, "total": len(found)})


def _key(value: Json) -> Json:
    """Times of both spellings in one order."""
    return value.replace("Z", "").ljust(26, ".") if isinstance(value, str) else value
