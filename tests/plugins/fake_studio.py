"""What of Label Studio a push needs, in memory, so that it can fail at any moment."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx

from annotate.studio.api.client import Studio
from annotate.studio.spelling.labelconfig import label_config
from annotate.vocabulary import ObjectParts
from annotate.work import Work

Json = Any


class FakeStudio:
    """One project. It takes predictions as the real server does: bad ones vanish silently.

    `before` and `after` are called with the number of each request and may raise.
    """

    def __init__(self, work: Work, parts: ObjectParts, tasks: range) -> None:
        facts = {"work": work.settings.id, "object": parts.name, "round": 1}
        self.project: dict[str, Json] = {
            "id": 71,
            "description": json.dumps({"partlab": facts}),
            "model_version": "",
            "show_collab_predictions": True,
            "label_config": label_config(parts),
        }
        self.tasks = set(tasks)
        self.predictions: dict[int, dict[str, Json]] = {}
        self.requests: list[str] = []
        self.sizes: list[int] = []
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None
        self.drops: Callable[[dict[str, Json]], bool] = lambda record: False
        self.alters: Callable[[Json], Json] = lambda result: result

    def client(self) -> Studio:
        transport = httpx.MockTransport(self._handle)
        return Studio("http://127.0.0.1:1", "0" * 40, transport=transport, pause=0.001)

    def held(self, model: str | None = None) -> list[int]:
        """Task of each prediction, sorted: duplicates would show."""
        found = self.predictions.values()
        return sorted(p["task"] for p in found if model in (None, p["model_version"]))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(f"{request.method} {request.url.path}")
        self.before(number)
        answer = self._answer(request)
        self.after(number)
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path, asked = request.url.path, parse_qs(request.url.query.decode())
        if path == "/api/current-user/whoami":
            return httpx.Response(200, json={"email": "lead@x.org", "id": 1})
        if path == "/api/tasks":
            wanted = json.loads(asked["query"][0])["filters"]["items"][0]["value"][0]
            ids = {p["task"] for p in self.predictions.values() if wanted in p["model_version"]}
            listed = [{"id": task} for task in sorted(ids)]
            return httpx.Response(200, json={"tasks": listed, "total": len(listed)})
        if path.endswith("/import/predictions"):
            return self._take(json.loads(request.content))
        if path == "/api/predictions/":
            task = int(asked["task"][0])
            return httpx.Response(200, json=list(self._of(task)))
        if path.startswith("/api/predictions/"):
            del self.predictions[int(path.split("/")[3])]
            return httpx.Response(204)
        if request.method == "PATCH":
            return self._change(json.loads(request.content))
        return httpx.Response(200, json=self.project)

    def _of(self, task: int) -> Iterator[dict[str, Json]]:
        return (p for p in self.predictions.values() if p["task"] == task)

    def _take(self, records: list[dict[str, Json]]) -> httpx.Response:
        self.sizes.append(len(records))
        taken = [record for record in records if not self.drops(record)]
        for record in taken:
            id = max(self.predictions, default=0) + 1
            result = self.alters(record["result"])
            self.predictions[id] = {"id": id, **record, "result": result}
        return httpx.Response(201, json={"created": len(taken)})

    def _change(self, values: dict[str, Json]) -> httpx.Response:
        known = {p["model_version"] for p in self.predictions.values()}
        if values.get("model_version") not in known:
            return httpx.Response(400, json={"detail": "Model version doesn't exist"})
        self.project.update(values)
        return httpx.Response(200, json=self.project)
