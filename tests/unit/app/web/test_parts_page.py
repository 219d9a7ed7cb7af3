"""The Parts page in a browser: pick, upload, filter, threshold, masks by click and by key."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
from colour_segmenter import COLOURS, draw, tune_colour_run, write_colour_run
from gradio_client import Client, handle_file
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page
from web_app import LAPTOP, PHONE, Shown, go, look, opened, showing

from partlab.coco import read_coco
from partlab.images import load_image
from partlab.masks import decode, from_segmentation
from segmenter.thresholds import Thresholds


def draw_bike(path: Path) -> Path:
    """Two red wheels: those of a car, if nobody says what the picture shows."""
    pixels = np.full((240, 320, 3), 120, np.uint8)
    pixels[120:180, 40:100] = pixels[120:180, 200:260] = COLOURS[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "größe & photos"
    draw(folder / "cat" / "one.png", "cat", 3, (320, 240))
    draw_bike(folder / "bike" / "two <b>.png")
    (folder / "cat" / "zz.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def shown(colour_run: Path, photos: Path) -> Iterator[Shown]:
    with showing(colour_run, photos) as running:
        yield running


def settled(page: Page) -> None:
    """Nothing is under way any more."""
    page.locator(".pl-result").wait_for()
    page.locator("#parts-step .pl-step").wait_for(state="detached")
    page.wait_for_timeout(300)


def parts(page: Page) -> list[str]:
    """Names in the table of parts, best first."""
    rows = page.locator(".pl-table tbody button").all_inner_texts()
    return [row.split(" ", 1)[1].strip() for row in rows]


def pick(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.get_by_alt_text(f"the picture {name}", exact=True).first.wait_for()
    settled(page)


def words(page: Page) -> dict[str, str]:
    """What stands in the address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_a_picture_of_the_strip_is_segmented(
    shown: Shown, browser: Browser, size: tuple[int, int]
) -> None:
    with opened(browser, size) as page:
        go(page, f"{shown.url}/parts")
        pick(page, "two <b>.png")
        assert parts(page) == []  # a wheel of a bike has 0.25
        gone = page.locator(".pl-gone li").inner_text()
        assert "car:wheel 0.75" in gone
        assert "is a part of car, and the picture shows bike" in gone
        assert page.locator(".pl-offered button").count() == 2  # the broken one is not offered
        look(page, f"parts-removed-{size[0]}")
        pick(page, "one.png")
        assert parts(page) == ["cat:ear"]
        look(page, f"parts-{size[0]}")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_a_link_opens_the_same_page_fresh(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts")
        pick(page, "two <b>.png")
        page.get_by_role("spinbutton", name="Threshold").fill("0.2")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Find parts").click()
        page.locator(".pl-table tbody tr").first.wait_for()
        settled(page)
        assert parts(page) == ["bike:wheel"]
        assert words(page)["threshold"] == "0.2"
        link, before = page.url, page.locator(".pl-view").all_inner_texts()
    with opened(browser) as page:
        go(page, link)
        settled(page)
        assert page.locator(".pl-view").all_inner_texts() == before
        assert parts(page) == ["bike:wheel"]


@pytest.mark.parametrize(
    "query", ["threshold=loud&compare=x", "object=zebra", "model=none", "picture=%2Fetc%2Fpasswd"]
)
def test_a_link_with_wrong_words_breaks_nothing(shown: Shown, browser: Browser, query: str) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts?{query}")
        page.locator(".pl-offered button").first.wait_for()
        page.wait_for_timeout(500)
        if query.startswith("picture"):
            toast = page.locator(".toast-body").first
            toast.wait_for()
            assert "no picture" in toast.inner_text()


def test_masks_by_mouse_and_by_key(shown: Shown, browser: Browser) -> None:
    """SV-21: every instance can be told from the others, with a click and with keys."""
    with opened(browser) as page:
        go(page, f"{shown.url}/parts?threshold=0.2&apart=true&object=bike")
        pick(page, "two <b>.png")
        masks = page.locator("[data-view=filtered] path")
        assert masks.count() == 2
        for at, id in ((0, "1"), (1, "2")):
            place = page.locator(f"[data-view=filtered] path[data-mark='{id}']")
            box = place.bounding_box()
            assert box
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            assert "bike:wheel 0.25, 3,600 px" in pointed(page)
            page.mouse.down()
            page.mouse.up()
            assert page.locator("tr[data-on]").get_attribute("data-mark") == id
            assert masks.nth(at).is_visible()
        look(page, "parts-chosen")
        page.keyboard.press("Escape")
        assert page.locator("[data-on]").count() == 0
        page.mouse.move(1, 1)
        assert pointed(page) == "point at a mask, or press Tab"
        for wanted in ("1", "2", "a", "b", "1"):  # those that the filter removed come last
            page.keyboard.press("n")
            assert pressed(page) == {wanted}
        page.keyboard.press("p")
        assert pressed(page) == {"b"}
        page.locator("[data-view=filtered] path[data-mark='1']").focus()
        page.keyboard.press("Enter")
        assert pressed(page) == {"1"}
        assert "bike:wheel" in page.locator("#pl-said").inner_text()
        page.keyboard.press("m")
        assert (
            page.locator(".pl-stage svg").first.evaluate("e => getComputedStyle(e).opacity") == "0"
        )


def pointed(page: Page) -> str:
    return page.locator("[data-view=filtered] [data-pointed]").inner_text()


def pressed(page: Page) -> set[str | None]:
    return {
        each.get_attribute("data-mark")
        for each in page.locator(".pl-result [aria-pressed=true]").all()
    }


def test_an_upload_is_shown_as_it_is_seen_and_saved_as_coco(
    shown: Shown, browser: Browser, tmp_path: Path
) -> None:
    """A photo that its camera turned (SV-17): picture, masks and file in upright pixels."""
    upright = load_image(draw_bike(tmp_path / "upright.png"))
    turned = PillowImage.fromarray(np.ascontiguousarray(np.rot90(upright)))
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    with opened(browser) as page:
        go(page, f"{shown.url}/parts?threshold=0.2&object=bike")
        page.locator("#parts-file input[type=file]").set_input_files(tmp_path / "turned.png")
        settled(page)
        assert parts(page) == ["bike:wheel"]
        source = page.locator(".pl-stage img").first.get_attribute("src")
        with httpx.Client(base_url=shown.url) as http:
            seen = np.asarray(PillowImage.open(io.BytesIO(http.get(f"/{source}").content)))
        assert np.array_equal(seen, upright)
        with page.expect_download() as saved:
            page.get_by_role("link", name="turned-parts.json").click()
        data = read_coco(saved.value.path())
        (image,), (record,) = data.images, data.annotations
        assert (image.width, image.height) == (320, 240)
        mask = decode(from_segmentation(record.segmentation, 240, 320))
        assert np.array_equal(mask, (upright == COLOURS[0]).all(2))
        page.wait_for_timeout(300)
    until = time.monotonic() + 30
    while shown.site.uploads.size and time.monotonic() < until:
        time.sleep(0.2)
    assert shown.site.uploads.size == 0  # gone with the session (SV-18)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("broken.jpg", b"\xff\xd8\xff\xe0 and nothing", "broken.jpg"),
        ("text.png", b"hello", "text.png"),
    ],
)
def test_a_file_that_is_no_picture_is_said(
    shown: Shown, browser: Browser, tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with opened(browser) as page:
        go(page, f"{shown.url}/parts")
        page.locator("#parts-file input[type=file]").set_input_files(tmp_path / name)
        toast = page.locator(".toast-body").first
        toast.wait_for()
        assert says in toast.inner_text()
        assert str(shown.site.uploads.folder) not in toast.inner_text()
        look(page, f"parts-fault-{name}")


def test_programs_ask_the_same(shown: Shown, tmp_path: Path) -> None:
    client = Client(shown.url, verbose=False)
    path = draw_bike(tmp_path / "a.png")
    _, html, data = client.predict(
        file=handle_file(str(path)),
        picture="",
        model="",
        object="bike",
        classifier="",
        threshold=0.2,
        own="",
        compare=True,
        apart=False,
        api_name="/parts_segment",
    )
    assert data["parts"][0]["part"] == "bike:wheel"
    assert decode(data["parts"][0]["mask"]).sum() == 7200
    assert "pl-result" in html


def test_the_keys_of_the_page_do_what_the_help_says(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts?picture=gr%C3%B6%C3%9Fe%20%26%20photos%2Fcat%2Fone.png")
        settled(page)
        assert parts(page) == ["cat:ear"]
        with page.expect_request("**/queue/join*"):
            page.keyboard.press("Enter")
        settled(page)
        page.keyboard.press("?")
        rows = page.locator(".pl-help dt").all_inner_texts()
        assert {"Enter", "x", "n", "p", "m", "?"} <= set(rows)


def test_everything_is_reached_with_tab(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts")
        pick(page, "one.png")
        page.locator(".pl-skip").focus()
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement?.outerHTML.slice(0, 400) ?? ''"))
        text = "\n".join(reached)
        for wanted in ("data-picture", "parts-go", "parts-stop", "<path", "<summary", "download="):
            assert wanted in text, wanted


def test_a_part_gets_a_threshold_of_its_own(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts")
        pick(page, "two <b>.png")
        assert parts(page) == []
        page.get_by_role("button", name="More").click()
        page.get_by_label("Part", exact=True).click()
        page.get_by_role("option", name="bike:wheel").click()
        number = page.get_by_role("spinbutton", name="Its threshold")
        number.fill("0.2")
        number.press("Tab")
        page.locator(".pl-table tbody tr").first.wait_for()
        settled(page)
        assert parts(page) == ["bike:wheel"]
        assert words(page)["own"] == "bike:wheel=0.2"
        look(page, "parts-own")
        text = page.get_by_label("Thresholds of single parts", exact=False).last
        text.fill("bike:wheel=0.3")
        text.press("Enter")
        page.get_by_text("No part has a score above the threshold").wait_for()
        text.fill("bike:weel=0.3")
        text.press("Enter")
        page.locator("#parts-step [role=alert]").wait_for()
        assert "did you mean bike:wheel" in page.locator("#parts-step").inner_text()


def test_a_tuned_run_begins_with_its_own_thresholds(
    photos: Path, browser: Browser, tmp_path: Path
) -> None:
    """The slider leaves them, the box takes them again, and a link says which it was."""
    run = tune_colour_run(
        write_colour_run(tmp_path / "tuned"), Thresholds(default=0.6, parts={"bike:wheel": 0.22})
    )
    with showing(run, photos) as shown:
        with opened(browser) as page:
            go(page, f"{shown.url}/parts")
            pick(page, "two <b>.png")
            assert parts(page) == ["bike:wheel"]
            said = page.locator(".pl-result").inner_text()
            assert "thresholds as tuned with the model (0.22 for bike)" in said
            look(page, "parts-tuned")
            assert words(page)["tuned"] == "true"
            page.get_by_role("spinbutton", name="Threshold").fill("0.5")
            page.keyboard.press("Tab")
            page.get_by_text("No part has a score above the threshold").wait_for()
            box = page.get_by_label("Thresholds as tuned")
            assert not box.is_checked()
            link = page.url
            box.check()
            page.locator(".pl-table tbody tr").first.wait_for()
            settled(page)
            page.get_by_role("button", name="More").click()
            page.get_by_label("Part", exact=True).click()
            page.get_by_role("option", name="bike:wheel").click()
            own = page.get_by_role("spinbutton", name="Its threshold")
            page.wait_for_function("e => e.value === '0.22'", arg=own.element_handle())
        with opened(browser) as page:
            go(page, link)
            settled(page)
            assert parts(page) == []
            assert "threshold 0.50" in page.locator(".pl-result").inner_text()


def test_a_model_that_was_not_tuned_offers_no_tuning(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/parts?tuned=true")
        pick(page, "one.png")
        assert page.get_by_label("Thresholds as tuned").count() == 0
        assert "threshold 0.50" in page.locator(".pl-result").inner_text()
