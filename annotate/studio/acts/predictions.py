"""The predictions of one model on one Label Studio project: sent, found again, made visible."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.spelling.labelconfig import has_two_lists
from annotate.studio.spelling.names import LABELS
from annotate.studio.spelling.reading import read_result
from annotate.vocabulary.model import ObjectParts
from partlab.errors import StudioError

log = logging.getLogger(__name__)
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Prediction:
    """The regions suggested for one task; no regions means that it shall hold none."""

    task_id: int
    name: str
    regions: list[dict[str, Any]]
    score: float
    size: tuple[int, int]


class Predictions:
    """What one model says in one project.

    Label Studio drops predictions it does not like without a word, knows no key that would
    keep one from arriving twice, and shows only those of the project's chosen model. So
    everything is checked before it is sent, counted after, and one is read back.
    """

    def __init__(
        self, studio: Studio, project_id: int, model: str, parts: ObjectParts, *, named: bool
    ) -> None:
        self.project_id, self.model, self.parts = project_id, model, parts
        self._named = named  # whether labels are names, as in projects of earlier versions
        self.some_held = False  # whether tasks are known to hold predictions of this model
        self._studio, self._checked = studio, False

    @cached_property
    def held(self) -> set[int]:
        """Ids of tasks that held a prediction of this model when this was first asked.

        The server searches for the name as a part of names; `settled` looks closely.
        """
        wanted = {
            "filter": "filter:tasks:predictions_model_versions",
            "operator": "contains",
            "type": "List",
            "value": [self.model],
        }
        query = json.dumps({"filters": {"conjunction": "and", "items": [wanted]}})
        project = self.project["id"]  # one that is gone is told best by its own address
        tasks = self._studio.pages(
            "/api/tasks", key="tasks", size=1000, project=project, query=query, include="id"
        )
        return {task["id"] for task in tasks}

    @cached_property
    def project(self) -> dict[str, Any]:
        """The project's own settings."""
        found: dict[str, Any] = self._studio.get(f"/api/projects/{self.project_id}/")
        return found

    def settled(self, wanted: Prediction) -> bool:
        """Whether the task holds exactly this; what else it holds of this model is removed."""
        found = self._studio.get("/api/predictions/", task=wanted.task_id)
        ours = [one for one in found if one["model_version"] == self.model]
        same = next((one for one in ours if one["result"] == wanted.regions), None)
        for one in ours:
            if one is not same:
                self._studio.delete(f"/api/predictions/{one['id']}/")
        return same is not None

    def send(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """See to it that each task holds its prediction, once; returns those that were sent.

        Raises:
            StudioError: the project's palette has not the labels, the server drops some, or it
                cannot be reached any more. What arrived stays, and is found by the next call.
        """
        missing = [p for p in predictions if p.task_id not in self.held or not self.settled(p)]
        missing = [p for p in missing if p.regions]
        for prediction in missing:
            self._check_labels(prediction)
        if missing and not self._checked:
            self._check_sample(missing[0])
        self._post(missing)
        if missing and not self._checked:
            self._read_back(missing[0])
            self._checked = True
        self.some_held = self.some_held or any(p.regions for p in predictions)
        self.show()
        return missing

    def _post(self, predictions: Sequence[Prediction]) -> None:
        """A POST whose answer is lost may have done its work, so what arrived is looked up."""
        for attempt in range(1, _TRIES + 1):
            if not predictions:
                return
            body = [self._record(prediction) for prediction in predictions]
            path = f"/api/projects/{self.project_id}/import/predictions"
            try:
                created = self._studio.post(path, body)["created"]
            except StudioError as error:
                refused = isinstance(error, RefusedError) and error.status < 500
                if refused:
                    self._name_the_gone(predictions)
                if refused or attempt == _TRIES:
                    raise
                log.info("%s; looking up what arrived", error.message)
            else:
                if created != len(predictions):
                    self._name_the_dropped(predictions, created)
                return
            predictions = [p for p in predictions if not self.settled(p)]

    def _record(self, prediction: Prediction) -> dict[str, Any]:
        return {
            "task": prediction.task_id,
            "result": prediction.regions,
            "score": prediction.score,
            "model_version": self.model,
        }

    def _name_the_gone(self, predictions: Sequence[Prediction]) -> None:
        """One task that is not there has the server refuse all, in words that quote whole masks."""
        found = self._studio.pages(
            "/api/tasks", key="tasks", size=1000, project=self.project_id, include="id"
        )
        there = {task["id"] for task in found}
        gone = [p for p in predictions if p.task_id not in there]
        if gone:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            raise StudioError(
                f"project {self.project_id} ({self.parts.name}): task {gone[0].task_id} "
                f"({gone[0].name}){more} is gone from Label Studio",
                hint="`partlab studio pull` notes it, then `partlab studio create` makes it again",
            )

    def _name_the_dropped(self, predictions: Sequence[Prediction], created: int) -> None:
        lost = next((p for p in predictions if not self.settled(p)), None)
        which = f"; the first is that of {lost.name} (task {lost.task_id})" if lost else ""
        raise StudioError(
            f"Label Studio silently dropped {len(predictions) - created} of {len(predictions)} "
            f"suggestions for {self.parts.name}{which}",
            hint=f"was the labelling interface of project {self.project_id} changed by hand?",
        )

    @property
    def two_lists(self) -> bool:
        """Whether its interface is an earlier version's, with a list of parts for each tool."""
        return has_two_lists(self.project["label_config"])

    @cached_property
    def _labels(self) -> set[str]:
        config = ElementTree.fromstring(self.project["label_config"])
        lists = config.iter("BrushLabels" if self.two_lists else "Labels")
        return {x.get("alias", x.get("value", "")) for one in lists for x in one}

    def _check_labels(self, prediction: Prediction) -> None:
        used = {x for r in prediction.regions for x in r["value"].get(LABELS[self.two_lists], ())}
        if unknown := sorted(used - self._labels):
            raise StudioError(
                f"project {self.project_id} ({self.parts.name}) has no label {unknown[0]!r} "
                "in its list of parts",
                hint="its labelling interface was changed by hand, or the vocabulary since; "
                "see `partlab vocabulary migrate`",
            )

    def _check_sample(self, prediction: Prediction) -> None:
        """Label Studio's own opinion of one prediction; it quotes whole masks, so it is cut."""
        from label_studio_sdk.label_interface import LabelInterface

        interface = LabelInterface(self.project["label_config"])
        faults = interface.validate_prediction(self._record(prediction), return_errors=True)
        if faults:
            raise StudioError(
                f"Label Studio would drop the suggestion for {prediction.name}: {faults[0]:.200}",
                hint=f"was the labelling interface of project {self.project_id} changed by hand?",
            )

    def _read_back(self, sent: Prediction) -> None:
        found = self._studio.get("/api/predictions/", task=sent.task_id)
        for one in found:
            if one["model_version"] == self.model and self._masks(one["result"], sent):
                return
        raise StudioError(
            f"the suggestion for {sent.name} (task {sent.task_id}) came back changed",
            hint="is this a Label Studio of version 1.23?",
        )

    def _masks(self, result: Any, sent: Prediction) -> bool:
        """Whether both results are the same masks, bit for bit."""
        there, here = (
            read_result(each, self.parts, sent.size, sent.size, min_pixels=1, named=self._named)
            for each in (result, sent.regions)
        )
        return bool(here.masks) and there == here

    def show(self) -> None:
        """Let annotators see this model's predictions, once there are some."""
        wanted = {"model_version": self.model, "show_collab_predictions": True}
        if self.some_held and any(self.project.get(key) != value for key, value in wanted.items()):
            self._studio.patch(f"/api/projects/{self.project_id}/", wanted)
            self.project.update(wanted)
