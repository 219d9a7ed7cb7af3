"""The page of pseudo labels: thresholds by hand against the truth, saved, and images for people."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import farm
import numpy as np
import pytest
from axe_found import serious
from fake_studio import FakeStudio
from gradio_client import Client
from learning_farm import begin, two_versions
from playwright.sync_api import Browser, Page, expect
from web_app import LAPTOP, PHONE, Shown, go, look, opened, showing

from annotate.studio.api.client import Studio
from app.web.given import Given
from app.web.pages.parts.answer import told_thresholds
from app.web.pages.pseudolabels.send import Chosen
from app.web.pages.pseudolabels.thresholds import Scores, effect, least_certain
from app.web.people import Accounts, set_account
from partlab.coco import read_coco
from partlab.config import load_config
from partlab.errors import ConfigError, OutputExistsError, UnknownNameError
from pseudolabel.calibrate import calibrate
from pseudolabel.matching import match
from pseudolabel.settings import Thresholds
from pseudolabel.store import Store
from pseudolabel.sweep import count
from segmenter.loop.versions import current, roll_back

RIGHT, WRONG = (0, 0, 20, 20), (35, 15, 20, 20)
BODY, HEAD = 0, 1
LINES = 12


def images(count: int = LINES, step: float = 0.07) -> tuple[list[Any], list[Any]]:
    """Cats whose heads are right above a score of 0.5, and cars' bodies; one blank, one bad."""
    rows, truth = [], []
    for number in range(count):
        score = round(0.14 + step * number, 2)
        box = RIGHT if score > 0.5 else WRONG
        rows.append((f"cat/{number:03d}.png", "cat", [(HEAD, box, score)]))
        truth.append((f"cat/{number:03d}.png", "cat", [("cat:head", RIGHT)]))
    rows.append(("car/a <b>.png", "car", [(BODY, RIGHT, 0.3)]))
    rows.append(("car/blank.png", "car", []))
    rows.append(("car/bad.png", "car", "truncated"))
    return rows, truth


@pytest.fixture
def given(make_store: Callable[..., Store], make_dataset: Any) -> tuple[Store, Path]:
    rows, truth = images()
    names = ("car:body", "cat:head")
    store = make_store(rows, names=names, config={"unite": False})
    data = make_dataset(truth, names=names, image_root=store.image_root)
    return store, data.path


def test_an_effect_is_what_the_sweep_counts(given: tuple[Store, Path]) -> None:
    store, file = given
    scores, matched = Scores.of(store), match(store, read_coco(file))
    for tau in (0.1, 0.35, 0.5, 0.92, 1.0):  # 0.35 is a score
        found = effect(scores, Thresholds(default=tau), "", matched)
        assert found.counts == count(matched, tau)
        masks = [mask for row in store.rows() for mask in row.masks]
        assert found.masks == len(masks) == LINES + 1
        assert found.kept == sum(np.float32(mask.score) >= np.float32(tau) for mask in masks)
        assert found.blank == found.masks - found.kept  # a mask an image
    own = effect(scores, Thresholds(default=0.1, parts={"cat:head": 0.5}), "cat", matched)
    (line,) = own.lines
    assert (line.name, line.tau, line.own) == ("cat:head", 0.5, True)
    assert (line.kept, line.masks) == (6, 12)
    assert len(own.changed) == 6
    assert line.counts is not None
    assert line.counts.precision == 1.0


def test_what_the_store_cannot_say_is_refused(given: tuple[Store, Path]) -> None:
    scores = Scores.of(given[0])
    with pytest.raises(ConfigError, match=r"below the store's own, 0\.1"):
        effect(scores, Thresholds(default=0.05), "")
    with pytest.raises(UnknownNameError, match="cat:tail"):
        effect(scores, Thresholds(default=0.5, parts={"cat:tail": 0.5}), "")


def test_least_certain_are_those_of_the_lowest_mean_score(given: tuple[Store, Path]) -> None:
    scores = Scores.of(given[0])
    assert least_certain(scores, "", 3) == [0, 1, 2]
    assert least_certain(scores, "", 4) == [0, 1, 2, 12]  # the car's has 0.30
    assert least_certain(scores, "car", 9) == [12]
    assert least_certain(scores, "no such", 9) == []


def test_least_certain_images_become_a_data_set(given: tuple[Store, Path]) -> None:
    chosen = Chosen(Scores.of(given[0]), "cat", 4)
    told = chosen.export("least")
    folder = given[0].path.parent / "least"
    assert str(folder) in told
    made = read_coco(folder / "annotations" / "pseudo.json")
    assert [image.file_name for image in made.images] == [f"cat/{n:03d}.png" for n in range(4)]
    assert [round(a.score or 0, 2) for a in made.annotations] == [0.14, 0.21, 0.28, 0.35]
    assert all((folder / "images" / image.file_name).is_file() for image in made.images)
    with pytest.raises(OutputExistsError):
        chosen.export("least")
    with pytest.raises(ConfigError, match="no name of a folder"):
        chosen.export("../out")


def test_least_certain_images_of_a_work_get_suggestions(
    make_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with farm.start(tmp_path / "work") as work:
        farm.hand_out(work)
        pictures = list(work.images("ram"))
        rows = [(each.file_name, "ram", [(0, RIGHT, 0.2 + 0.05 * n)])
                for n, each in enumerate(pictures)]  # fmt: skip
        store = make_store(rows, names=("ram:head",), pictures=False, size=(48, 64))
        server = FakeStudio(work, farm.FARM.object("ram"), range(1001, 1001 + len(pictures)))
        monkeypatch.setattr(Studio, "from_env", lambda: server.client())
        told = Chosen(Scores.of(store), "ram", 3).suggest(tmp_path / "work")
    assert "3 suggestions sent" in " ".join(told.split())
    assert server.held() == [1001, 1002, 1003]  # the lowest scores


@pytest.fixture
def shown(given: tuple[Store, Path]) -> Iterator[Shown]:
    with showing(given[0].path, given[1]) as running:
        yield running


def address(shown: Shown, **words: Any) -> str:
    return f"{shown.url}/pseudolabels?{urlencode(words)}"


def settled(page: Page) -> None:
    page.locator(".pl-store").wait_for()
    page.locator("#pseudolabels-step .pl-step").wait_for(state="detached")
    page.wait_for_timeout(300)


def truth_of(shown: Shown) -> str:
    (data,) = shown.site.given.data
    return f"{data}/{next(iter(shown.site.library.splits(data)))}"


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_thresholds_by_hand_with_what_they_change(
    shown: Shown, given: tuple[Store, Path], browser: Browser, size: tuple[int, int]
) -> None:
    with opened(browser, size, bypass_csp=True) as page:
        go(page, address(shown, truth=truth_of(shown), object="cat"))
        settled(page)
        assert "Nothing: every mask of cat reaches its threshold." in page.inner_text(".pl-store")
        assert "15 images" in " ".join(page.inner_text(".pl-figures").split())
        moved = page.locator('[data-part="cat:head"]')
        moved.focus()
        moved.evaluate("e => { e.value = 0.5; e.dispatchEvent(new Event('input', {bubbles: true}));"
                       "e.dispatchEvent(new Event('change', {bubbles: true})); }")  # fmt: skip
        page.get_by_text("6 of 12", exact=True).wait_for()
        settled(page)
        look(page, f"pseudolabels-{size[0]}")
        assert serious(page) == []
        said = " ".join(page.inner_text(".pl-effect").split())
        assert "7 of 13 masks stay; 6 images of cat lose some" in said
        assert "precision 100.0 %, recall 50.0 %" in said
        assert page.locator(".pl-changes figure").count() == 6
        assert page.locator(".pl-changes img").count() == 12
        own = page.get_by_label("Thresholds of single parts").input_value()
        assert own == "cat:head=0.5"
        page.wait_for_timeout(500)
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["own"] == ["cat:head=0.5"]
        link = page.url
        page.locator("#pseudolabels-save").click()
        page.get_by_text("Saved:").wait_for()
        file = given[0].path / "thresholds.json"
        assert json.loads(file.read_text()) == {"default": 0.1, "parts": {"cat:head": 0.5}}
        assert load_config(Thresholds, file).parts == {"cat:head": 0.5}
        page.locator("#pseudolabels-save").click()
        page.get_by_text("thresholds.json").last.wait_for()
        page.get_by_text("exists").first.wait_for()  # not replaced without a word
        go(page, link)
        settled(page)
        assert page.get_by_text("6 of 12", exact=True).is_visible()
        page.locator("[data-drop]").click()
        page.get_by_text("12 of 12", exact=True).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_thresholds_are_picked_as_the_command_picks_them(
    make_store: Callable[..., Store], make_dataset: Any, browser: Browser
) -> None:
    rows, truth = images(40, 0.02)
    names = ("car:body", "cat:head")
    store = make_store(rows, names=names, config={"unite": False})
    data = make_dataset(truth, names=names, image_root=store.image_root)
    picked = calibrate(match(store, data), default=0.1).thresholds()["parts"]
    assert picked
    with showing(store.path, data.path) as shown, opened(browser) as page:
        go(page, address(shown))
        settled(page)
        page.locator("#pseudolabels-pick").click()
        page.get_by_text("choose one first").first.wait_for()
        go(page, address(shown, truth=truth_of(shown)))
        settled(page)
        page.locator("#pseudolabels-pick").click()
        own = page.get_by_label("Thresholds of single parts")
        expect(own).to_have_value(told_thresholds(picked), timeout=60_000)
        page.locator("[data-drop]").wait_for()
        settled(page)


def test_a_category_is_opened_from_the_table(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, address(shown))
        settled(page)
        page.locator('[data-object="car"]').click()
        page.get_by_text("Thresholds of car").wait_for()
        assert "a <b>.png" in page.inner_text(".pl-tilesheet")
        assert "1 images could not be read" in page.inner_text(".pl-store")


def test_only_leads_save_and_send(given: tuple[Store, Path], tmp_path: Path) -> None:
    users = tmp_path / "people.json"
    set_account(users, "ann@x.org", "annotator", "correct horse")
    with showing(given[0].path, accounts=Accounts(users)) as shown:
        asked = [event for event in shown.site.blocks.fns.values()
                 if str(event.api_name).startswith("pseudolabels_")]  # fmt: skip
        roles = {event.api_name: shown.site.role_of(event) for event in asked}
    assert roles["pseudolabels_look"] == "annotator"
    for name in ("save", "export", "suggest"):
        assert roles[f"pseudolabels_{name}"] == "lead"


def test_programs_get_the_same(shown: Shown) -> None:
    client = Client(shown.url, verbose=False)
    (store,) = shown.site.given.stores
    _, _, found = client.predict(
        store=store, truth=truth_of(shown), object="", threshold=0.5, own="",
        api_name="/pseudolabels_look",
    )  # fmt: skip
    assert (found["kept"], found["masks"], found["precision"]) == (6, 13, 1.0)
    assert found["report"]["labelled"] == LINES + 1
    with pytest.raises(Exception, match="below the store"):
        client.predict(
            store=store, truth="", object="", threshold=0.01, own="", api_name="/pseudolabels_look"
        )


def test_without_a_store_the_page_says_what_to_give(colour_run: Path, browser: Browser) -> None:
    assert Given.of([colour_run]).stores == {}
    with showing(colour_run) as shown, opened(browser) as page:
        go(page, f"{shown.url}/pseudolabels")
        page.get_by_text("partlab app pseudo").first.wait_for()


def test_the_loop_of_a_work_and_back_to_an_earlier_version(
    tmp_path: Path, browser: Browser
) -> None:
    """The page shows what `partlab loop` shows; one click serves the version before."""
    with begin(tmp_path / "farm") as work:
        two_versions(work, tmp_path)
        with showing(work.folder) as shown, opened(browser, bypass_csp=True) as page:
            go(page, f"{shown.url}/pseudolabels")
            rows = page.locator(".pl-loop tbody tr")
            rows.nth(1).wait_for()
            look(page, "pseudolabels-loop")
            assert serious(page) == []
            assert not page.get_by_label("Threshold of all parts").first.is_visible()  # no store
            assert "version 2 of 2 is served" in page.inner_text(".pl-loop")
            second = " ".join(rows.first.inner_text().split())
            assert "28, 84 66.7, 29.0 0.00049 was served: it is better served" in second
            rows.nth(1).get_by_role("button", name="Roll back").click()
            page.get_by_text("Version 1 is served again.").wait_for()
            assert rows.first.get_by_role("button").inner_text() == "Serve it"
            found = current(work)
            assert found is not None
            assert found.number == 1
            roll_back(work, 2, "somebody")
            page.locator("#pseudolabels-again").click()
            rows.nth(1).get_by_role("button", name="Roll back").wait_for()
            told = Client(shown.url, verbose=False).predict(
                work="farm", version=1, api_name="/pseudolabels_rollback"
            )
            assert "Version 1 is served again." in told
