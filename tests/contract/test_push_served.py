"""Suggestions of a served segmenter on a real Label Studio: those of the run itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from colour_segmenter import draw_folder, write_colour_run
from served import serving
from typer.testing import CliRunner

from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.api.client import Studio
from annotate.studio.server.start import Running
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Work
from app.cli.main import app
from app.serve.source import Source

CAT = ObjectParts(
    name="cat", parts=(Part(name="head"), Part(name="ear")), inclusions={"ear": "head"}
)


def handed_out(folder: Path, photos: Path, studio: Studio) -> Work:
    """Six cats."""
    plan = plan_work(Vocabulary(objects=(CAT,)), photos, objects=["cat"])
    work = begin_work(folder / "work", plan, name=folder.name, per_object=6)
    create(work, studio, annotators=[str(studio.whoami()["email"])])
    return work


def told(work: Work, studio: Studio) -> list[Any]:
    """What each task suggests, without numbers that Label Studio draws.

    Scores to two digits: this segmenter's depend on what is looked at together, as on a GPU.
    """
    found = []
    for task in work.tasks("cat", 1):
        (made,) = studio.get("/api/predictions/", task=task.task_id)
        regions = [
            {**r, "id": None, "parentID": None, "score": round(r.get("score", 0), 2)}
            for r in made["result"]
        ]
        found.append((made["model_version"], round(made["score"], 2), regions))
    return found


def test_a_served_segmenter_suggests_what_the_run_suggests(
    studio_server: Running,
    studio: Studio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    photos = draw_folder(tmp_path / "photos", 18)
    run = write_colour_run(tmp_path / "seg")
    mine = handed_out(tmp_path / "mine", photos, studio)
    theirs = handed_out(tmp_path / "theirs", photos, studio)

    def push(work: Work, *words: str) -> Any:
        ended = CliRunner().invoke(app, ["studio", "push", str(work.folder), *words, "--json"])
        assert ended.exit_code == 0, ended.stderr
        return json.loads(ended.stdout)

    by_run = push(mine, "--segmenter", str(run))
    with serving(Source.of_run(f"seg={run}")) as server:
        by_server = push(theirs, "--server", server.url)
    assert by_server["model"] == by_run["model"]
    assert by_server["objects"][0]["sent"] == 6
    assert any(regions for *_, regions in told(theirs, studio))
    assert told(theirs, studio) == told(mine, studio)
