"""The whole loop at once: people correct a model, a better one follows, and another is attacked.

Pre-annotated by a served segmenter, corrected in Label Studio with a smart click, pulled, inspected
in the app and accepted; the loop makes a better version, which is served and pseudo-labels pictures
that nobody drew; on both a recognition model is trained, which the page Robustness attacks. Pages
are seen in Chromium; what is a command for people is the command.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import Person
from at_inspect import begin, finish, image
from browser import CHROMIUM, ask, log_in, look, save
from colour_segmenter import write_colour_run
from farm import FARM
from farm_drawn import masks_of
from learning_farm import COLOURS, picture
from PIL import Image as PillowImage
from playwright.sync_api import Browser
from served import png, serving
from tiny_recognition import TINY
from typer.testing import CliRunner
from web_app import browsing, go, opened, showing

from annotate.studio.server.start import Running
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary import write_vocabulary
from annotate.work import Work
from app.cli.main import app
from app.serve.source import Source
from partlab.masks import decode
from segmenter.loop import control
from segmenter.loop.versions import folder_of

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]
PLUGINS = Path(__file__).parents[1] / "plugins"
ANN, INA = "ann@loop.org", "ina@loop.org"
RAM, HAMMER = "ram", "schöner Hammer"
EACH, SIZE = 24, (64, 48)
NAMES = ("ram:head", "ram:horn", "ram:body", "schöner Hammer:handle")


def partlab(*words: object) -> Any:
    """Run a command; its result."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, f"{words}: {done.exit_code}\n{done.output}\n{done.stderr}"
    return json.loads(done.stdout)


def photographs(folder: Path, numbers: range) -> Path:
    """Pictures of both categories; what is on number n is `masks_of(object, n)`."""
    for object in (RAM, HAMMER):
        for number in numbers:
            path = folder / object / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = picture(object, number)
            if (object, number) == (RAM, 0):  # its body is so faint that nobody suggests it unasked
                (body,) = (decode(m["rle"]) for m in masks_of(RAM, 0) if m["part"] == "body")
                pixels[body & (np.arange(SIZE[1]) % 3 > 0)[:, None]] = 120
            PillowImage.fromarray(pixels).save(path)
    return folder


def truth(task: Any, *, but: tuple[str, ...] = ()) -> list[Any]:
    """What is on the picture of a task, as regions that somebody draws; some parts left out."""
    object, _, name = task["data"]["file_name"].partition("/")
    masks = [
        PartMask(mask["part"], 1, mask["rle"], "manual", 1)
        for mask in masks_of(object, int(Path(name).stem))
        if mask["part"] not in but
    ]
    return regions_of(masks, FARM.object(object), SIZE)


def test_from_a_poor_segmenter_to_a_model_under_attack(
    studio_server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    monkeypatch.setenv("PARTLAB_ME", INA)
    launcher = str(PLUGINS / "loop_with_colour.py")
    monkeypatch.setattr(control, "COMMAND", (sys.executable, launcher))
    work, poor = tmp_path / "work", poor_segmenter(tmp_path / "poor")
    (account,) = partlab("studio", "user", ANN)["users"]
    password = account["password"]
    write_vocabulary(tmp_path / "vocabulary.yaml", FARM)
    begin = ["--vocabulary", tmp_path / "vocabulary.yaml", "--annotators", ANN]
    begin += ["--images", photographs(tmp_path / "photos", range(EACH)), "--per-object", EACH]
    partlab("studio", "create", work, *begin)

    with browsing() as browser:
        with serving(Source.of_run(f"seg={poor}")) as model:
            version = partlab("studio", "connect", work, model.url)["model"]
            few = parts_found(model)
            corrected = correct_by_click(browser, studio_server, work, password)
        draw_the_rest(studio_server, work, password)
        partlab("studio", "pull", work)
        with Work.open(work) as found:
            answer = next(a for a in found.answers(RAM, 1) if a.task_id == corrected)
        assert answer.problems == []
        origins = {mask["part"]: (mask["origin"], mask.get("model")) for mask in answer.masks}
        by_model = ("prediction", version)
        assert origins == {"head": by_model, "body": by_model, "horn": ("manual", None)}

        accept_by_key(browser, work)
        partlab("loop", "start", work, "--run", poor)
        wait_for_the_loop(work)
        see_versions(browser, work)
        with serving(Source.of_run(f"loop={work}")) as model:
            assert parts_found(model) > few
        models = train(tmp_path, work)
        attack(browser, models, tmp_path / "pool")


def poor_segmenter(folder: Path) -> Path:
    """It knows the head and the body of a ram, and nothing else."""
    colours = [COLOURS["head"], (0, 0, 0), COLOURS["body"], (0, 0, 0)]
    return write_colour_run(folder, NAMES, np.array(colours, np.float32), {})


def parts_found(model: Any) -> int:
    """In a picture of each category that nobody drew."""
    found = [
        model.post("/v1/segment", png(picture(object, 99)), params={"object": object}).json()
        for object in (RAM, HAMMER)
    ]
    return sum(len(each["answers"][0]["parts"]) for each in found)


def correct_by_click(browser: Browser, server: Running, work: Path, password: str) -> int:
    """The head is suggested, the body is asked for with a click, the horn is drawn; the task."""
    with Work.open(work) as found:
        project = found.batch(RAM).project_id
        (faint,) = (one.id for one in found.images(RAM) if one.file_name == "ram/000.png")
        task = next(task for task in found.tasks(RAM, 1) if task.image_id == faint)
    context = browser.new_context(viewport={"width": 1200, "height": 620})
    context.set_default_timeout(180_000)
    page = context.new_page()
    log_in(page, server, ANN, password)
    page.goto(f"{server.url}/projects/{project}/data?task={task.task_id}")
    page.wait_for_selector(".konvajs-content")
    page.get_by_text("Auto-Annotation").click()
    page.locator(".lsf-tool_smart").first.wait_for()
    page.wait_for_timeout(3000)
    page.locator(".lsf-tool_smart").first.click()  # the switch keeps the keyboard to itself
    page.keyboard.press("3")  # the body
    page.wait_for_timeout(500)
    look(page, "whole-loop-opened")
    ask(page, (35.5 / SIZE[0], 24.5 / SIZE[1]))
    look(page, "whole-loop-click")
    page.get_by_test_id("bottombar-accept-suggestions-button").click()
    page.wait_for_timeout(1000)
    saved = save(page, "Submit")
    context.close()
    with Person(server.url, ANN, password) as ann:
        told = next(one for one in ann.tasks(project or 0) if one["id"] == task.task_id)
        horn = truth(told, but=("head", "body"))
        own = [{**item, "id": f"own-{item['id']}", "origin": "manual"} for item in horn]
        ann.update(saved["id"], [*saved["result"], *own])
    assert task.task_id is not None
    return task.task_id


def draw_the_rest(server: Running, work: Path, password: str) -> None:
    """Everything else, well."""
    with Work.open(work) as found:
        projects = [found.batch(object).project_id for object in (RAM, HAMMER)]
    with Person(server.url, ANN, password) as ann:
        for project in projects:
            while (task := ann.next(project or 0)) is not None:
                ann.submit(task["id"], truth(task))


def accept_by_key(browser: Browser, work: Path) -> None:
    """The page Inspect: begin, a key for each picture, finish; both categories."""
    with showing(work) as shown, opened(browser) as page:
        go(page, f"{shown.url}/inspect")
        begin(page)
        for object in (RAM, HAMMER):
            page.locator(".pi-title b", has_text=object).wait_for()
            seen = None
            for _ in range(10):  # as many as the plan looks at
                seen = image(page, seen)
                page.keyboard.press("p")
            page.locator(".pi-foot", has_text="finish").wait_for()
            look(page, f"whole-loop-inspect-{object}")
            finish(page)
        page.locator(".pi-stage", has_text="Nothing waits for you").first.wait_for()
    with Work.open(work) as found:
        assert {batch.object: batch.state for batch in found.batches()} == dict.fromkeys(
            (RAM, HAMMER), "accepted"
        )


def wait_for_the_loop(work: Path) -> None:
    until = time.monotonic() + 600
    while (told := partlab("loop", "status", work))["job"]["state"] != "done":
        assert told["job"]["state"] in ("queued", "running"), told
        assert time.monotonic() < until, told
        time.sleep(1)
    assert told["served"] == 2, told


def see_versions(browser: Browser, work: Path) -> None:
    """The page Pseudo labels says which version is served, and why."""
    with showing(work) as shown, opened(browser) as page:
        go(page, f"{shown.url}/pseudolabels")
        page.get_by_text("version 2 of 2 is served").wait_for()
        row = page.locator(".pl-loop tr[data-number='2']").inner_text()
        assert "was served: it is better" in row
        look(page, "whole-loop-versions")


def train(folder: Path, work: Path) -> Path:
    """Pseudo labels of pictures that nobody drew, and a model with parts of both."""
    pool, pseudo = photographs(folder / "pool", range(100, 108)), folder / "pseudo"
    partlab("pseudolabel", pool, "--segmenter", folder_of(work, 2), "--out", pseudo)
    partlab("inspect", "export", work, "--out", folder / "data")
    settings = [word for each in (*TINY, "train.epochs=1") for word in ("--set", each)]
    models = folder / "models"
    given = ["--data", folder / "data", "--split", "all", "--pseudo", pseudo, "--model", "mpm"]
    partlab("train", "run", "small_at", *given, "--out", models / "mpm", *settings)
    return models


def attack(browser: Browser, models: Path, pool: Path) -> None:
    """The page Robustness: a picture of the pool, clean and attacked, with the parts seen."""
    with showing(models, pool) as shown, opened(browser) as page:
        go(page, f"{shown.url}/robustness?steps=2")
        page.locator("[data-picture]").first.click()
        page.locator(".pl-tried").wait_for()
        assert page.locator(".pl-model h2").all_inner_texts() == ["mpm"]
        assert page.locator(".pl-levels figure").count() > 1
        look(page, "whole-loop-robustness")
