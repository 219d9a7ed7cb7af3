"""The Robustness page in a browser: attack, compare, corrupt, stop, a link, a phone, a server."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import numpy as np
import pytest
import tiny_recognition as tiny
from axe_found import serious
from colour_segmenter import draw
from evaluation_folders import CLASSES, image_names, nested, write_folder, write_pictures
from gradio_client import Client, handle_file
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page
from served import serving
from web_app import LAPTOP, PHONE, Shown, go, look, opened, showing

from app.serve.source import Source
from app.web.shelf import ServerShelf
from partlab.images import load_image
from train.evaluate.opened import open_model

CURVE = {
    ("clean", "clean"): 0.8,
    ("linf-2/255", "pgd-20"): 0.6,
    ("linf-4/255", "pgd-20"): 0.5,
    ("linf-8/255", "pgd-20"): 0.2,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    data = tiny.world(folder / "world")
    few = ("train.epochs=1", "attack.method=none")
    for kind in ("vanilla", "mpm"):
        tiny.train(data, folder / "models" / kind, *few, kind=kind)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations of 40 pictures, of which one was kept."""
    folder = tmp_path_factory.mktemp("results")
    for seed, name in enumerate(("vanilla", "mpm")):
        outcomes = nested(40, CURVE, seed)
        write_folder(folder / name, outcomes, name=name, weights=name)
        write_pictures(folder / name, image_names(40)[:40])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the pictures that the evaluations name: mpm alone is right on it, at 8/255."""
    folder = tmp_path_factory.mktemp("more") / "photos"
    (kept,) = only(1, 0)[:1]
    draw(folder / kept, "cat", 3)
    return folder


@pytest.fixture(scope="module")
def shown(models: Path, results: Path, photos: Path) -> Iterator[Shown]:
    with showing(models / "models", models / "world", results, photos) as running:
        yield running


def only(keeps: int, loses: int) -> list[str]:
    """Pictures that one of the two models keeps at 8/255 and the other loses, by name."""
    right = [set(np.flatnonzero(nested(40, CURVE, seed)["linf-8/255", "pgd-20"]))
             for seed in (0, 1)]  # fmt: skip
    return sorted(image_names(40)[k] for k in right[keeps] - right[loses])


def address(shown: Shown, **words: Any) -> str:
    return f"{shown.url}/robustness?{urlencode(words)}"


def picture_of(shown: Shown) -> str:
    return shown.site.library.offered()[0].name


def settled(page: Page) -> None:
    page.locator(".pl-tried").wait_for()
    page.locator("#robustness-step .pl-step").wait_for(state="detached")
    page.wait_for_timeout(300)


def pixels_at(page: Page, source: str) -> np.ndarray:
    """What the browser gets, from the address of a picture."""
    base = page.url.rsplit("/", 1)[0] + "/"
    with PillowImage.open(io.BytesIO(httpx.get(base + source).content)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_pick_a_picture_and_see_two_models_clean_and_attacked(
    shown: Shown, browser: Browser, models: Path, size: tuple[int, int]
) -> None:
    with opened(browser, size, bypass_csp=True) as page:
        go(page, address(shown, eps=8, steps=3))
        page.locator("[data-picture]").first.click()
        settled(page)
        look(page, f"robustness-{size[0]}")
        assert serious(page) == []
        cards = page.locator(".pl-model")
        assert cards.locator("h2").all_inner_texts() == ["vanilla", "mpm"]
        for kind in ("vanilla", "mpm"):
            card = page.locator(f'.pl-model[data-model="{kind}"]')
            clean = pixels_at(page, str(card.locator(".pl-over").get_attribute("src")))
            attacked = pixels_at(page, str(card.locator(".pl-under").get_attribute("src")))
            file = shown.site.library.find(picture_of(shown)).path
            seen = open_model(models / "models" / kind, device="cpu").seen(load_image(file))
            assert np.array_equal(clean, seen)  # every pixel that the model saw (SV-17)
            assert 0 < np.abs(attacked.astype(int) - clean).max() <= 8
        assert "mpm has no part" not in page.content()
        assert "vanilla has no part outputs" in page.content()
        assert page.locator(".pl-levels figure").count() > 1
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["picture"] == [picture_of(shown)]
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_both_pictures_of_the_slider_lie_on_one_another(shown: Shown, browser: Browser) -> None:
    """The trap of sliders with a height: the right half of another place than the left one's."""
    for size in (LAPTOP, PHONE):
        with opened(browser, size) as page:
            go(page, address(shown, picture=picture_of(shown), steps=1))
            settled(page)
            compare = page.locator(".pl-compare").first
            boxes = [compare.locator(c).bounding_box() for c in (".pl-under", ".pl-over")]
            assert boxes[0] == boxes[1]
            assert boxes[0] is not None
            assert abs(boxes[0]["width"] - boxes[0]["height"]) < 1
            assert_sides(page, compare, 50)
            page.locator("[data-compare]").first.focus()
            page.keyboard.press("Home")
            assert_sides(page, compare, 0)
            page.keyboard.press("ArrowRight")
            assert_sides(page, compare, 1)
            place = {"x": 0.8 * boxes[0]["width"], "y": 40}
            page.locator("[data-compare]").first.click(position=place)
            at = float(page.locator("[data-compare]").first.input_value())
            assert 75 < at < 85
            assert_sides(page, compare, at)


def assert_sides(page: Page, compare: Any, at: float) -> None:
    """The clean picture is seen as far as the edge, and the edge is there."""
    assert compare.evaluate("e => e.style.getPropertyValue('--at')") == f"{at:g}%"
    clip = compare.locator(".pl-over").evaluate("e => getComputedStyle(e).clipPath")
    assert clip.startswith("inset(0")
    edge = compare.locator(".pl-edge").bounding_box()
    box = compare.bounding_box()
    assert abs(edge["x"] + 1 - box["x"] - at / 100 * box["width"]) < 1.5


def test_keys_held_down_show_all_pictures_clean_or_attacked(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, address(shown, picture=picture_of(shown), steps=1))
        settled(page)
        for key, at in (("c", "100%"), ("v", "0%")):
            page.keyboard.down(key)
            every = page.locator(".pl-compare").evaluate_all(
                "all => all.map(e => e.style.getPropertyValue('--at'))"
            )
            assert every == [at, at]
            page.keyboard.up(key)
        assert page.locator(".pl-compare").first.evaluate(
            "e => e.style.getPropertyValue('--at')"
        ) == "50%"  # fmt: skip


def test_a_corruption_and_a_link_opened_fresh(shown: Shown, browser: Browser) -> None:
    words = {"picture": picture_of(shown), "attack": "fog", "severity": 5, "model": "mpm",
             "beside": "none"}  # fmt: skip
    with opened(browser) as page:
        go(page, address(shown, **words))
        settled(page)
        assert page.locator(".pl-model h2").all_inner_texts() == ["mpm"]
        assert "fog, severity 5 of 5" in page.inner_text(".pl-tried")
        assert page.get_by_label("Severity, 1 to 5").first.is_visible()
        assert not page.get_by_text("Norm", exact=True).is_visible()
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["attack"] == ["fog"]
        assert asked["severity"] == ["5"]
        assert asked["beside"] == ["none"]


def test_wrong_words_in_the_address_are_told(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, address(shown, picture="world/heldout/none.png", eps="NaN", steps="x"))
        page.get_by_text("none.png").first.wait_for()
        assert "Traceback" not in page.content()


def test_a_long_attack_tells_how_far_it_is_and_is_stopped(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page, slow(shown, "mpm", 0.2):
        go(page, address(shown, picture=picture_of(shown), steps=100))
        page.locator("#robustness-step progress").wait_for()
        page.get_by_text("passes through it").wait_for()
        page.keyboard.press("x")
        page.locator("#robustness-step").get_by_text("stopped").wait_for()
        until = time.monotonic() + 20
        while shown.site.work.running and time.monotonic() < until:
            time.sleep(0.1)
        assert shown.site.work.running == 0  # the attack itself has ended too (SV-19)


def test_who_waits_can_leave_the_queue(shown: Shown, browser: Browser) -> None:
    with slow(shown, "mpm", 0.2), opened(browser) as first, opened(browser) as second:
        go(first, address(shown, picture=picture_of(shown), steps=100))
        first.get_by_text("passes through it").wait_for()
        go(second, address(shown, picture=picture_of(shown), steps=1))
        second.get_by_text("waiting: 1 before you").wait_for()
        second.locator("#robustness-stop").click()
        second.locator("#robustness-step").get_by_text("stopped").wait_for()
        until = time.monotonic() + 10  # the page may say so a moment before
        while shown.site.work.waiting and time.monotonic() < until:
            time.sleep(0.05)
        assert shown.site.work.waiting == 0
        first.locator("#robustness-stop").click()
        first.locator("#robustness-step").get_by_text("stopped").wait_for()


class slow:
    """A model whose every pass takes longer, as a large one's does."""

    def __init__(self, shown: Shown, name: str, seconds: float) -> None:
        model = shown.site.shelf.recogniser(name)
        self.victim: Any = model._victim
        self.seconds = seconds

    def __enter__(self) -> None:
        self.handle = self.victim.register_forward_pre_hook(
            lambda *_: time.sleep(self.seconds) or None
        )

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_evaluations_side_by_side(shown: Shown, browser: Browser) -> None:
    with opened(browser, bypass_csp=True) as page:
        go(page, address(shown))
        section = page.locator(".pl-evaluated")
        section.wait_for()
        look(page, "robustness-evaluations")
        assert serious(page) == []
        assert section.locator(".pl-curves img").count() == 1
        text = section.inner_text()
        assert "linf-4/255, pgd-20" in text
        assert f"vanilla is right, mpm is not: {len(only(0, 1))}" in text
        assert f"mpm is right, vanilla is not: {len(only(1, 0))}" in text
        names = section.locator(".pl-kept").first.locator("small").all_inner_texts()
        assert names == only(1, 0)  # mpm stands first
        assert section.locator(".pl-kept img").count() == len(names) + len(only(0, 1))
        assert CLASSES[1] in text  # "tench <b>": escaped
        (button,) = section.locator(".pl-kept button").all()  # the one that is here
        button.click()
        settled(page)
        page.wait_for_timeout(500)
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["picture"] == [f"photos/{names[0]}"]
        assert names[0].rpartition("/")[2] in page.inner_text(".pl-tried")


def test_programs_get_the_same(shown: Shown, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "own.png")
    client = Client(shown.url, verbose=False)
    _, _, found = client.predict(
        file=handle_file(tmp_path / "own.png"), picture="", model="mpm", beside="",
        attack="pgd", norm="linf", eps=8, steps=2, severity=3, api_name="/robustness_attack",
    )  # fmt: skip
    (one,) = found["models"]
    assert one["model"] == "mpm"
    assert len(one["clean"]) == 2  # classes there are
    assert 0 < one["largest_change"] <= 8
    with pytest.raises(Exception, match="unknown recognition model"):
        client.predict(
            file=handle_file(tmp_path / "own.png"), picture="", model="mpn", beside="",
            attack="pgd", norm="linf", eps=8, steps=2, severity=3, api_name="/robustness_attack",
        )  # fmt: skip


def test_models_of_a_server_and_a_server_that_goes_away(models: Path, browser: Browser) -> None:
    runs = [models / "models" / kind for kind in ("vanilla", "mpm")]
    with serving(*[Source.of_run(str(run), device="cpu") for run in runs]) as server:
        shelf = ServerShelf(server.url, patience=1)
        with showing(models / "world", shelf=shelf, server=server.url) as shown:
            with opened(browser) as page:
                go(page, address(shown, picture=picture_of(shown), steps=2))
                settled(page)
                assert page.locator(".pl-model h2").all_inner_texts() == ["vanilla", "mpm"]
                assert page.locator(".pl-levels figure").count() > 1
                calls = page.locator(".pl-calls code").all_text_contents()
                assert all(call.startswith("curl") and server.url in call for call in calls)
            shelf.server.url = shelf.url = "http://127.0.0.1:9"
            shelf.server._client = httpx.Client(base_url="http://127.0.0.1:9")
            with opened(browser) as page:
                go(page, address(shown))
                page.get_by_text("no model server answers").first.wait_for()


def test_no_model_says_what_to_give(colour_run: Path, browser: Browser) -> None:
    with showing(colour_run) as shown, opened(browser) as page:
        go(page, f"{shown.url}/robustness")
        page.get_by_text("No recognition model and no evaluation was given").wait_for()
