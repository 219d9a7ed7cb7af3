"""Honeypots and refill with a real Label Studio, by the commands: what annotators get to see.

Known pictures among others -> one careful and one careless annotator -> a discard is final ->
another picture comes to the same project -> accepted -> exported without the honeypots
(D-02, D-03, M-07, Q-04).
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import Person, choice
from typer.testing import CliRunner

from annotate.studio.server.start import Running
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary import ObjectParts, Part, Vocabulary, write_vocabulary
from annotate.work import Work
from annotate.world import WorldConfig, make_world
from app.cli.main import app
from partlab.coco import read_dataset
from partlab.masks import decode, encode
from partlab.schema import Dataset

OBJECTS, IMAGES, KNOWN = ("ram", "mug"), 6, 3
ANN, BEN, INA, IVO = (f"{n}.h@example.org" for n in ("ann", "ben", "ina", "ivo"))


def partlab(*words: object, code: int = 0) -> Any:
    """Run a command with --json; the result it prints."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == code, f"{words}: {done.exit_code}\n{done.output}\n{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


@pytest.fixture(scope="module")
def connected(studio_server: Running) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
        patch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
        yield studio_server


class Farm:
    """The pictures, what is truly on them, and the people."""

    def __init__(self, server: Running, folder: Path) -> None:
        counts = {"images": 2 * IMAGES + 4, "heldout": 2 * KNOWN + 2, "pool": 0, "val_share": 0}
        make_world(folder / "world", WorldConfig(**counts, objects=OBJECTS, size=96))
        self.folder, self.server = folder, server
        self.known = folder / "world" / "annotations" / "heldout.json"
        self.splits = [read_dataset(folder / "world", split) for split in ("train", "heldout")]
        self.truth = {i.sha256: (data, i) for data in self.splits for i in data.images}
        self.secret = {image.sha256 for image in self.splits[1].images}
        self.vocabulary = Vocabulary(name="farm", objects=tuple(map(self._parts, OBJECTS)))
        write_vocabulary(folder / "vocabulary.yaml", self.vocabulary)
        users = partlab("studio", "user", ANN, BEN, INA, IVO)["users"]
        self.passwords = {user["email"]: user["password"] for user in users}

    def _parts(self, name: str) -> ObjectParts:
        found = [c.part for c in self.splits[0].categories if c.object == name]
        inclusions = {"horn": "head"} if name == "ram" else {}
        parts = tuple(Part(name=part) for part in found)
        return ObjectParts(name=name, parts=parts, inclusions=inclusions)

    def draw(self, email: str, project: int, shift: int = 0, refuse: int = 0) -> list[Any]:
        """Work through a project as a person who sees the pictures; the tasks that came."""
        seen = []
        with Person(self.server.url, email, self.passwords[email]) as person:
            while (task := person.next(project)) is not None:
                sha256 = hashlib.sha256(person.picture(task["data"]["image"])).hexdigest()
                data, image = self.truth[sha256]
                if refuse and sha256 not in self.secret:
                    person.submit(task["id"], [choice("discard", "low quality")])
                    refuse -= 1
                else:
                    regions = self.regions(data, image, task["data"]["object"], shift)
                    person.submit(task["id"], regions, seconds=60)
                seen.append({**task["data"], "sha256": sha256})
        return seen

    def regions(self, data: Dataset, image: Any, owner: str, shift: int) -> list[Any]:
        parts, masks = self.vocabulary.object(owner), []
        for a in data.annotations_of(image):
            moved = np.roll(decode(a.segmentation), (shift, shift), (0, 1))
            part = parts.named(data.category_by_id[a.category_id].part)
            masks.append(PartMask(part.id, a.object_id or 1, encode(moved), "manual", 1))
        return regions_of(masks, parts, (image.width, image.height))


def test_known_pictures_among_others_and_more_for_discarded_ones(
    connected: Running, tmp_path: Path
) -> None:
    farm, folder = Farm(connected, tmp_path), tmp_path / "work"
    begin = ["studio", "create", folder, "--vocabulary", tmp_path / "vocabulary.yaml"]
    begin += ["--images", tmp_path / "world", "--split", "train", "--annotators", f"{ANN},{BEN}"]
    begin += ["--per-object", IMAGES, "--honeypots", farm.known, "--honeypot-share", 0.5]
    told = partlab(*begin, "--dry-run")["rounds"]
    assert [(one["images"], one["checks"]) for one in told] == [(IMAGES, KNOWN)] * 2
    assert not folder.exists()
    told = {one["object"]: one for one in partlab(*begin)["rounds"]}
    assert [(o["images"], o["checks"], o["added"]) for o in told.values()] == [
        (IMAGES, KNOWN, IMAGES + KNOWN)
    ] * 2
    again = partlab(*begin)["rounds"]  # the same words again: nothing is made
    assert not any(one["made"] or one["added"] for one in again)
    who = {owner: one["assignee"] for owner, one in told.items()}
    project = {owner: one["project_id"] for owner, one in told.items()}

    # -- annotators cannot tell which are known ------------------------------------------------
    rams = farm.draw(who["ram"], project["ram"], refuse=1)
    mugs = farm.draw(who["mug"], project["mug"], shift=14)
    for owner, seen in (("ram", rams), ("mug", mugs)):
        assert len(seen) == IMAGES + KNOWN
        ids = [data["image_id"] for data in seen]
        assert ids == list(range(ids[0], ids[0] + IMAGES + KNOWN))
        names = [data["file_name"] for data in seen]
        suffix = Path(names[0]).suffix
        assert names == [f"{owner}/{id:06d}{suffix}" for id in ids]
        secret = [data for data in seen if data["sha256"] in farm.secret]
        assert len(secret) == KNOWN
        assert len({tuple(data) for data in seen}) == 1
    with connected.studio() as studio:
        for number in project.values():
            everything = json.dumps(studio.get(f"/api/projects/{number}/"))
            tasks = list(studio.pages("/api/tasks/", key="tasks", project=number, fields="all"))
            assert "honeypot" not in everything + json.dumps(tasks)
            assert {len(task["predictions"]) for task in tasks} == {0}

    # -- they are judged, and nothing else -----------------------------------------------------
    partlab("studio", "pull", folder)
    status = {one["object"]: one for one in partlab("status", folder)["rounds"]}
    assert (status["ram"]["images"], status["ram"]["done"]) == (IMAGES, IMAGES)
    assert (status["ram"]["checks"], status["ram"]["checked"]) == (KNOWN, KNOWN)
    found = partlab("inspect", "honeypots", folder, "--bar", 0.75)["annotators"]
    whole = {one["annotator"]: one for one in found if one["object"] is None}
    assert whole[who["ram"]]["failed_share"] == 0
    assert whole[who["ram"]]["overlap"] > 0.95
    assert whole[who["mug"]]["failed_share"] == 1

    # -- a discard is final: the next picture comes to the same project ------------------------
    refused = next(d["image_id"] for d in rams if d["sha256"] not in farm.secret)
    for inspector in (INA, IVO):
        review = ("inspect", "discards", folder, "ram", "--image", refused)
        partlab(*review, "--uphold", "--by", inspector)
    for words in (["--refill", "--dry-run"], ["--refill"]):
        (ram,) = [
            o for o in partlab("studio", "create", folder, *words)["rounds"] if o["object"] == "ram"
        ]
        assert (ram["project_id"], ram["added"], ram["made"], ram["note"]) == (
            project["ram"], 1, False, "",
        )  # fmt: skip
    assert not any(o["added"] for o in partlab("studio", "create", folder, "--refill")["rounds"])
    (more,) = farm.draw(who["ram"], project["ram"])
    assert more["sha256"] not in farm.secret
    assert more["sha256"] not in {data["sha256"] for data in rams}
    assert list(more) == list(rams[0])
    partlab("studio", "pull", folder)
    partlab("inspect", "sample", folder, "ram", "--by", INA)
    with Work.open(folder) as work:
        from annotate.inspect.service import Inspection

        drawn = {card.image_id for card in Inspection(work).cards("ram").cards}
        assert drawn == {image.id for image in work.images("ram")} - {refused}
    for image_id in drawn:
        words = ["--image", image_id, "--pass", "--by", INA, "--yes"]
        partlab("inspect", "decide", folder, "ram", *words)
    partlab("inspect", "export", folder, "--out", tmp_path / "out")
    exported = read_dataset(tmp_path / "out")
    assert len(exported.images) == IMAGES  # D-03
    assert not farm.secret & {image.sha256 for image in exported.images}
    assert [discard.raw["id"] for discard in exported.discards] == [refused]
    assert partlab("data", "check", tmp_path / "out")["errors"] == 0

    # -- the state can be made again, with the masks that are known ----------------------------
    partlab("inspect", "rebuild", folder)
    assert partlab("inspect", "honeypots", folder, "--bar", 0.75)["annotators"] == found
