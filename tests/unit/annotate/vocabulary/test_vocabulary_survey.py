"""The survey in a real Label Studio: asked once, answered by several, read back as ballots."""

from typing import Any

import pytest

from annotate.studio.acts.survey import PARTS, QUESTION, SUGGESTIONS, create_survey, read_survey
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.vocabulary.edit import add_parts, merge_parts, remove_part, rename_part, split_part
from annotate.vocabulary.vote import Ballot, vote
from partlab.errors import StudioError, UnknownNameError

VOTERS = [f"volunteer{n}@example.org" for n in range(3)]


def farm(name: str) -> Vocabulary:
    ram = tuple(Part(id=p, name=p, source="wikidata") for p in ("head", "body", "foot, hoof"))
    worm = Part(id="flatworm", name="flatworm", source="whole-object")
    return Vocabulary(
        name=name,
        objects=(
            ObjectParts(name="ram", aliases=("tup",), parts=ram),
            ObjectParts(name="flatworm", parts=(worm,)),
            ObjectParts(name="Schäfer's Ölkanne <1>"),
        ),
    )


def tasks(studio: Studio, project: int) -> dict[str, dict[str, Any]]:
    found = studio.pages("/api/tasks", key="tasks", project=project, fields="all")
    return {task["data"]["object"]: task for task in found}


def answer(
    studio: Studio, task: dict[str, Any], who: int, ticked: list[str], said: list[str], **more: Any
) -> None:
    result: list[dict[str, Any]] = []
    for name, type, value in (
        (PARTS, "choices", {"choices": ticked}),
        (SUGGESTIONS, "textarea", {"text": said}),
    ):
        if ticked if name == PARTS else said:
            result.append(
                {"id": name, "from_name": name, "to_name": QUESTION, "type": type, "value": value}
            )
    studio.post(
        f"/api/tasks/{task['id']}/annotations/", {"result": result, "completed_by": who} | more
    )


@pytest.fixture
def people(studio: Studio) -> list[int]:
    create_users(studio, VOTERS)
    users = studio.users()
    return [users[email] for email in VOTERS]


def test_volunteers_answers_come_back_as_ballots(studio: Studio, people: list[int]) -> None:
    vocabulary = farm("survey of answers")
    made = create_survey(studio, vocabulary, voters=3)
    assert made.tasks == 3
    there = tasks(studio, made.project)
    assert there["ram"]["data"][QUESTION] == "Which parts does this have: ram (also tup)?"
    first, second, third = people
    answer(studio, there["ram"], first, ["head", "body"], ["horn"])
    answer(studio, there["ram"], second, ["head"], ["Horns, beard"])
    answer(studio, there["ram"], third, [], ["horn\nsomething"], was_cancelled=True)
    answer(studio, there["ram"], third, ["head"], [])
    answer(studio, there["ram"], third, ["body", "foot, hoof"], ["horn"])
    answer(studio, there["flatworm"], first, ["flatworm"], [])
    ballots, faults = read_survey(studio, made.project, vocabulary)
    assert faults == []
    ram = {(b.voter[9], b.part): b.yes for b in ballots if b.object == "ram" and b.part}
    assert ram == {
        ("0", "head"): True,
        ("0", "body"): True,
        ("0", "foot, hoof"): False,
        ("0", "horn"): True,
        ("1", "head"): True,
        ("1", "body"): False,
        ("1", "foot, hoof"): False,
        ("1", "Horns"): True,
        ("1", "beard"): True,
        ("2", "head"): False,
        ("2", "body"): True,
        ("2", "foot, hoof"): True,
        ("2", "horn"): True,
    }
    assert Ballot(VOTERS[0], "flatworm", "", False) in ballots
    new = vote(vocabulary, ballots).vocabulary.object("ram")
    assert new.names == ("head", "body", "horn")
    assert new.named("horn").evidence == ("3 of 3 volunteers",)


def test_a_survey_is_made_once_and_filled_up(studio: Studio) -> None:
    vocabulary = farm("survey made twice")
    made = create_survey(studio, vocabulary, voters=2, objects=["ram"])
    assert made.tasks == 1
    again = create_survey(studio, vocabulary, voters=10)
    assert (again.project, again.tasks) == (made.project, 3)
    assert studio.get(f"/api/projects/{made.project}/")["maximum_annotations"] == 10
    assert create_survey(studio, vocabulary, voters=10) == again
    changed = rename_part(vocabulary, "ram", "head", "skull")
    assert create_survey(studio, changed, voters=10).project != made.project


def test_a_part_renamed_since_is_voted_on_by_its_new_name(
    studio: Studio, people: list[int]
) -> None:
    vocabulary = farm("survey before a rename")
    made = create_survey(studio, vocabulary, voters=1, objects=["ram"])
    answer(studio, tasks(studio, made.project)["ram"], people[0], ["head"], [])
    renamed = rename_part(vocabulary, "ram", "head", "skull")
    ballots, _ = read_survey(studio, made.project, renamed)
    assert Ballot(VOTERS[0], "ram", "skull", True) in ballots


def test_parts_split_merged_and_taken_out_since_do_not_come_back(
    studio: Studio, people: list[int]
) -> None:
    """A vote on what was split is on its pieces; one of several that were merged on the whole."""
    vocabulary = farm("survey before many changes")
    vocabulary = add_parts(vocabulary, "ram", ["horn", "fleece", "tail"])
    made = create_survey(studio, vocabulary, voters=3, objects=["ram"])
    ram = ["head", "foot, hoof", "horn"]
    for who, ticked in zip(people, ([*ram, "body", "tail"], [*ram, "fleece"], []), strict=True):
        answer(studio, tasks(studio, made.project)["ram"], who, ticked, [])
    now = merge_parts(vocabulary, "ram", ["body", "fleece"], "body")
    now = remove_part(split_part(now, "ram", "horn", ["root", "tip"]), "ram", "tail")
    ballots, faults = read_survey(studio, made.project, now)
    assert faults == ["ram: 'tail' went since the survey; the votes on it do not count"]
    cast = [(ballot.part, ballot.yes) for ballot in ballots if ballot.part]
    names = ("head", "body", "foot, hoof", "root", "tip")
    assert cast == [(name, yes) for yes in (True, True, False) for name in names]
    result = vote(now, ballots)
    assert result.notes == ()
    assert result.vocabulary.object("ram").ids == now.object("ram").ids
    assert result.vocabulary.object("ram").named("body").evidence == ("2 of 3 volunteers",)


def test_a_survey_that_nobody_answered_is_told(studio: Studio) -> None:
    vocabulary = farm("survey without answers")
    made = create_survey(studio, vocabulary, voters=3)
    told = [f"nobody has answered survey {made.project} yet"]
    assert read_survey(studio, made.project, vocabulary) == ([], told)


def test_what_is_no_survey_is_told(studio: Studio) -> None:
    project = studio.post("/api/projects/", {"title": "cats", "description": '{"partlab": 1}'})
    with pytest.raises(StudioError, match=r"project \d+ \(cats\) is not a survey of partlab"):
        read_survey(studio, project["id"], farm("x"))
    with pytest.raises(StudioError, match="project 999999 is gone"):
        read_survey(studio, 999999, farm("x"))
    with pytest.raises(UnknownNameError, match="'rom'"):
        create_survey(studio, farm("x"), voters=1, objects=["rom"])


def test_a_broken_answer_is_told_and_the_others_count(studio: Studio, people: list[int]) -> None:
    vocabulary = farm("survey with a broken answer")
    made = create_survey(studio, vocabulary, voters=3, objects=["ram"])
    task = tasks(studio, made.project)["ram"]
    answer(studio, task, people[0], ["head"], [])
    rubbish = [
        {
            "id": "x",
            "from_name": PARTS,
            "to_name": QUESTION,
            "type": "choices",
            "value": {"choices": 7},
        }
    ]
    studio.post(
        f"/api/tasks/{task['id']}/annotations/", {"result": rubbish, "completed_by": people[1]}
    )
    ballots, faults = read_survey(studio, made.project, vocabulary)
    assert {ballot.voter for ballot in ballots} == {VOTERS[0]}
    assert len(faults) == 1
    assert f"the answer of {VOTERS[1]} cannot be read" in faults[0]
