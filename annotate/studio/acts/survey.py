"""Asking volunteers in Label Studio which parts matter (V-01 rule 2, V-10).

One project a vocabulary version, one task an object: its parts as boxes to tick, and a field
for parts that are missing. Label Studio shows each task to as many volunteers as there are to
be, and to nobody twice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from annotate.studio.api.client import Studio
from annotate.studio.spelling.mark import mark_of, marked
from annotate.vocabulary.diff import follow
from annotate.vocabulary.model import ObjectParts, Vocabulary
from annotate.vocabulary.names import tidy
from annotate.vocabulary.vote import Ballot
from partlab.errors import ConfigError, StudioError

PARTS, SUGGESTIONS, QUESTION = "parts", "suggestions", "question"
_BATCH = 250  # tasks in one request
_BETWEEN = re.compile(r"[,;\n]+")
_TITLE = 50  # characters Label Studio allows


@dataclass(frozen=True, slots=True)
class Survey:
    """A survey's project and how many objects it asks about."""

    project: int
    tasks: int


def survey_config() -> str:
    """The XML of the page a volunteer sees; the boxes to tick come with each task."""
    root = ElementTree.Element("View")
    _add(root, "Text", name=QUESTION, value=f"${QUESTION}", granularity="word")
    _add(root, "Header", value="Tick the parts that you need to recognise it.", size="5")
    _add(root, "Choices", name=PARTS, toName=QUESTION, choice="multiple", value=f"${PARTS}")
    _add(root, "Header", value="Is a part missing? One a line.", size="5")
    _add(
        root,
        "TextArea",
        name=SUGGESTIONS,
        toName=QUESTION,
        placeholder="horn",
        rows="3",
        maxSubmissions="20",
        editable="true",
    )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, tag, attributes)


def create_survey(
    studio: Studio,
    vocabulary: Vocabulary,
    *,
    voters: int,
    objects: Sequence[str] | None = None,
) -> Survey:
    """Make the survey of a vocabulary, or what is missing of it when some is there already.

    Asked again with the same vocabulary, it is the same project.

    Raises:
        UnknownNameError: an object is not in the vocabulary.
        StudioError: the server refuses.
    """
    asked = [vocabulary.object(name) for name in objects] if objects else vocabulary.objects
    if not asked:
        raise ConfigError(f"vocabulary {vocabulary.name!r} has no objects to ask about")
    project = _find(studio, vocabulary)
    if project is None:
        project = int(studio.post("/api/projects/", _payload(vocabulary, voters))["id"])
    else:
        studio.patch(f"/api/projects/{project}/", {"maximum_annotations": voters})
    there = {task["data"].get("object") for task in _tasks(studio, project)}
    missing = [_task(one) for one in asked if one.name not in there]
    for start in range(0, len(missing), _BATCH):
        studio.post(f"/api/projects/{project}/import", missing[start : start + _BATCH])
    return Survey(project, sum(1 for _ in _tasks(studio, project)))


def _payload(vocabulary: Vocabulary, voters: int) -> dict[str, Any]:
    return {
        "title": f"{vocabulary.name[: _TITLE - 30]}: which parts matter? (v{vocabulary.version})",
        "description": f"For volunteers: tick the parts of each object of {vocabulary.name}.",
        "label_config": marked(survey_config(), _facts(vocabulary)),
        "maximum_annotations": voters,
        "sampling": "Uniform sampling",
        "show_skip_button": False,
        "enable_empty_annotation": True,
    }


def _facts(vocabulary: Vocabulary) -> dict[str, Any]:
    about = {"vocabulary": vocabulary.name, "version": vocabulary.version}
    return {"kind": "survey", **about, "hash": vocabulary.hash[:12]}


def _find(studio: Studio, vocabulary: Vocabulary) -> int | None:
    fields = "id,description,label_config"
    for project in studio.pages("/api/projects/", include=fields, ordering="id"):
        if mark_of(project) == _facts(vocabulary):
            return int(project["id"])
    return None


def _task(parts: ObjectParts) -> dict[str, Any]:
    """What one task shows; the ids say later which parts were shown, whatever their names."""
    also = f" (also {', '.join(parts.aliases[:3])})" if parts.aliases else ""
    return {
        "data": {
            "object": parts.name,
            QUESTION: f"Which parts does this have: {parts.name}{also}?",
            PARTS: [{"value": part.name} for part in parts.parts],
            "ids": [part.id for part in parts.parts],
        }
    }


def _tasks(studio: Studio, project: int) -> Iterator[dict[str, Any]]:
    return studio.pages("/api/tasks", key="tasks", size=500, project=project, include="id,data")


def read_survey(
    studio: Studio, project: int, vocabulary: Vocabulary
) -> tuple[list[Ballot], list[str]]:
    """The ballots of a survey, and what could not be read, a sentence each.

    A ticked part is a yes, one left open a no, a suggestion a yes; of several answers of one
    volunteer to one object the last counts. Parts renamed, merged or split since are voted on as
    what they are now (one tick among merged ones is a yes), those that are gone not at all.

    Raises:
        StudioError: the project is gone, or is not a survey.
    """
    about = studio.get(f"/api/projects/{project}/")
    if mark_of(about).get("kind") != "survey":
        raise StudioError(
            f"project {project} ({about.get('title')}) is not a survey of partlab",
            hint="make one with partlab vocabulary survey",
        )
    people = {id: email for email, id in studio.users().items()}
    ballots: list[Ballot] = []
    faults: list[str] = []
    gone: dict[str, None] = {}
    for task in studio.pages("/api/tasks", key="tasks", size=100, project=project, fields="all"):
        for voter, result in _answers(task, people).items():
            try:
                ballots += list(_ballots(voter, task["data"], result, vocabulary))
                gone |= dict.fromkeys(_gone(task["data"], vocabulary))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                faults.append(
                    f"task {task.get('id')} of survey {project}: the answer of {voter} cannot be "
                    f"read ({type(error).__name__}: {error}); not counted"
                )
    if not ballots and not faults:
        faults.append(f"nobody has answered survey {project} yet")
    return ballots, [*faults, *gone]


def _answers(task: Mapping[str, Any], people: Mapping[int, str]) -> dict[str, Any]:
    """The last result of each volunteer."""
    found: dict[str, Any] = {}
    for annotation in sorted(task.get("annotations") or (), key=lambda a: a["updated_at"]):
        if not annotation.get("was_cancelled"):
            by: Any = annotation.get("completed_by")
            by = by.get("id") if isinstance(by, dict) else by
            found[people.get(by, f"user {by}")] = annotation["result"]
    return found


def _ballots(
    voter: str, data: Mapping[str, Any], result: Sequence[Mapping[str, Any]], now: Vocabulary
) -> Iterator[Ballot]:
    object = data["object"]
    ticked: set[str] = set()
    said: list[str] = []
    for item in result:
        if item["from_name"] == PARTS:
            ticked |= set(item["value"]["choices"])
        elif item["from_name"] == SUGGESTIONS:
            text = item["value"]["text"]
            for line in [text] if isinstance(text, str) else text:
                said += [name for name in map(tidy, _BETWEEN.split(line)) if name]
    votes: dict[str, bool] = {}
    for shown, names in _names_now(data, now).items():
        for name in names:
            votes[name] = votes.get(name, False) or shown in ticked
    yield Ballot(voter, object, "", False)  # took part
    for name, yes in votes.items():
        yield Ballot(voter, object, name, yes)
    for name in dict.fromkeys(said):
        yield Ballot(voter, object, name, True)


def _names_now(data: Mapping[str, Any], now: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Each part that was shown -> what it is called now, or its pieces, or nothing."""
    object, shown = data["object"], [one["value"] for one in data[PARTS]]
    if object not in now.names:
        return {name: (name,) for name in shown}
    parts = now.object(object)
    changes = [change for change in now.changes if change.object == object]
    became = follow([id for id in data["ids"] if id not in parts.ids], changes)
    return {
        name: tuple(parts.part(one).name for one in became.get(id, (id,)) if one in parts.ids)
        for name, id in zip(shown, data["ids"], strict=True)
    }


def _gone(data: Mapping[str, Any], now: Vocabulary) -> Iterator[str]:
    """A sentence for each part that was shown and is no more."""
    for name, names in _names_now(data, now).items():
        if not names:
            yield f"{data['object']}: {name!r} went since the survey; the votes on it do not count"
