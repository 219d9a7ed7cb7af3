"""The page Data set: filters, findings with their acts, plots and exports, in a real browser."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest
from axe_found import serious
from fake_studio import FakeStudio
from farm import answer, hand_out, pull
from gradio_client import Client
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page
from web_app import PHONE, Shown, client, go, look, opened, showing

from annotate.inspect.audit import Audit, Reason, Suspect
from annotate.inspect.corrections import corrections
from annotate.inspect.export import export
from annotate.inspect.service import Inspection
from annotate.inspect.suspicion import keep_audit
from annotate.studio.api.client import Studio
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Image, Work
from app.web.pages.dataset.asking import Ask, read_span
from app.web.pages.dataset.looking import DataSet
from app.web.pages.dataset.statistics import FEW
from app.web.people import Accounts, Person, set_account
from partlab.coco import read_coco
from partlab.errors import ConfigError, SchemaError, StateError
from partlab.masks import encode
from pseudolabel.store import Store

LAPTOP = (1400, 850)
NAMES = ("cat:body", "cat:head", "cat:ear", "car:wheel", "car:window")
BODY, HEAD, EAR = (5, 5, 50, 30), (30, 8, 20, 20), (32, 10, 6, 6)
PASSWORD = "correct horse"
ME = Person("me", "admin", signed_in=False)


def images(count: int) -> list[Any]:
    """Cats whose head lies over their body, undeclared, every third without; and two cars."""
    cats = [
        (f"cat/{n:03d}.png", "cat",
         [("cat:body", BODY), *([] if n % 3 == 2 else [("cat:head", HEAD), ("cat:ear", EAR)])])
        for n in range(count)
    ]  # fmt: skip
    return [*cats, ("car/a.png", "car", [("car:wheel", (5, 20, 10, 10))]), ("car/b.png", "car", [])]


@pytest.fixture
def given(make_dataset: Any, make_store: Callable[..., Store]) -> tuple[Path, Store]:
    data = make_dataset(images(30), names=NAMES)
    rows = [("cat/000.png", "cat", [(0, BODY, 0.9), (1, (30, 8, 20, 10), 0.4)])]
    store = make_store([*rows, ("cat/001.png", "cat", [])], names=NAMES)
    return data.path.parent.parent, store


@pytest.fixture
def shown(given: tuple[Path, Store]) -> Iterator[Shown]:
    with showing(given[0], given[1].path) as running:
        yield running


def address(shown: Shown, **words: Any) -> str:
    return f"{shown.url}/dataset?{urlencode(words)}"


def settled(page: Page, what: str = ".pd-sheet") -> None:
    page.locator(what).wait_for()
    page.locator("#dataset-step .pl-step").wait_for(state="detached")


def choose(page: Page, name: str, option: str) -> None:
    """Pick an option of a list, by keys alone."""
    page.locator(f"#dataset-{name} input").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name=option, exact=True).wait_for()
    page.locator(f"#dataset-{name} input").fill(option)
    page.keyboard.press("Enter")


def asked(page: Page) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def lit(page: Page) -> set[str]:
    """The parts that are lit on the large picture."""
    words = page.locator(".pl-stage path[data-on]").evaluate_all("a => a.map(p => p.dataset.words)")
    return {each.partition(",")[0] for each in words}


def test_filters_by_hand_the_address_and_the_pages(shown: Shown, browser: Browser) -> None:
    with opened(browser, LAPTOP, bypass_csp=True) as page:
        go(page, address(shown))
        settled(page)
        assert "32 of 32 images; 1 to 24 are shown, page 1 of 2" in page.inner_text(".pd-count")
        assert page.locator(".pd-grid figure img").count() == 24
        assert serious(page) == []
        look(page, "dataset-sheet")
        page.keyboard.press("ArrowRight")
        page.locator(".pd-count", has_text="page 2 of 2").wait_for()
        assert page.locator(".pd-grid figure").count() == 8
        choose(page, "object", "car (2)")
        page.get_by_text("2 of 32 images; 1 to 2 are shown").wait_for()
        settled(page)
        page.wait_for_timeout(500)
        assert asked(page)["object"] == "car"
        assert "page" not in asked(page)
        assert page.locator(".pd-grid figcaption b").all_inner_texts() == ["car", "car"]
        assert "30 does not show car" in " ".join(page.locator(".pd-left").text_content().split())  # type: ignore[union-attr]
        link = page.url
        go(page, link)
        page.get_by_text("2 of 32 images; 1 to 2 are shown").wait_for()
        page.locator(".pd-grid button").first.click()
        settled(page, ".pd-picture")
        page.wait_for_timeout(500)
        assert asked(page)["image"] == "31"
        page.keyboard.press("ArrowRight")
        page.locator(".pd-picture h2", has_text="car/b.png").wait_for()
        page.keyboard.press("b")
        settled(page)


def test_a_link_with_many_filters_on_a_phone(shown: Shown, browser: Browser) -> None:
    """Only the masks that are meant are drawn, and what a link says is what stands there."""
    words = {"object": "cat", "part": "cat:ear", "area": "30-40", "provenance": "human",
             "order": "small"}  # fmt: skip
    with opened(browser, PHONE, color_scheme="dark", bypass_csp=True) as page:
        go(page, address(shown, **words))
        settled(page)
        assert "20 of 32 images" in page.inner_text(".pd-count")
        assert page.get_by_label("Area of a mask, px").input_value() == "30-40"
        names = page.locator(".pd-grid figure").first.locator(".pd-parts").inner_text()
        assert names.strip() == "ear"
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert serious(page) == []
        look(page, "dataset-phone")
        go(page, address(shown, area="much"))
        page.locator("#dataset-step [role=alert]", has_text="no area").wait_for()


def test_findings_open_the_picture_with_both_parts_lit(shown: Shown, browser: Browser) -> None:
    with opened(browser, LAPTOP, bypass_csp=True) as page:
        go(page, address(shown, view="findings"))
        settled(page, ".pd-findings")
        group = page.locator(".pd-group[data-kind=overlap]", has_text="cat:head over cat:body")
        assert "20 times in 20 images" in group.inner_text()
        assert group.locator("img").count() == 6
        assert serious(page) == []
        look(page, "dataset-findings")
        group.locator(".pd-grid button").nth(1).click()
        settled(page, ".pd-picture")
        assert lit(page) == {"cat:head", "cat:body"}
        look(page, "dataset-both-lit")
        assert serious(page) == []
        page.locator("h1").hover()  # away from the masks: what the finding names stays lit
        assert lit(page) == {"cat:head", "cat:body"}
        page.keyboard.press("n")
        assert len(lit(page)) == 1
        told = page.locator(".pd-fault").first.inner_text()
        assert '{"inclusions": {"cat": {"head": "body"}}}' in told  # there is no work
        assert "Two parts overlap without a declared inclusion" in told
        assert "Declare the smaller part as included in the larger one" in told
        for name in ("Declare inclusion: head in body", "Send this picture back"):
            off = page.get_by_role("button", name=name)
            assert off.is_disabled()
            around = off.locator("xpath=..").inner_text()
            assert "Off, as this data set comes of no work" in around
        page.wait_for_timeout(500)
        link = asked(page)
        assert (link["finding"], len(link["masks"].split())) == ("overlap", 2)
        go(page, address(shown, **link))
        settled(page, ".pd-picture")
        assert lit(page) == {"cat:head", "cat:body"}


def test_masks_lie_where_the_picture_is(shown: Shown, browser: Browser) -> None:
    """The picture fills its stage in its own shape, however low the window is."""
    with opened(browser, (1400, 500)) as page:
        go(page, address(shown, image=1))
        settled(page, ".pd-picture")
        boxes = [page.locator(f".pl-stage {what}").bounding_box() for what in ("img", "svg")]
        assert boxes[0] == boxes[1]
        assert boxes[0] is not None
        assert abs(boxes[0]["width"] / boxes[0]["height"] - 60 / 40) < 0.02


def test_annotation_beside_pseudo_label(shown: Shown, browser: Browser) -> None:
    with opened(browser, LAPTOP, bypass_csp=True) as page:
        go(page, address(shown, image=1, store="pseudo"))
        settled(page, ".pd-picture")
        assert serious(page) == []
        assert page.locator(".pl-view").count() == 2
        rows = {cells[0]: cells for cells in (
            row.locator("td").all_inner_texts()
            for row in page.locator(".pl-table tbody tr").all()
        )}  # fmt: skip
        look(page, "dataset-beside")
        assert rows["1 cat:body"][4] == "IoU 1.00 with a"
        assert rows["2 cat:head"][4] == "IoU 0.50 with b"
        assert rows["3 cat:ear"][4] == "the other side has none of this part"
        assert rows["b cat:head"][3] == "0.40"
        go(page, address(shown, image=3, store="pseudo"))
        why = page.get_by_text("the store does not have this picture")
        why.wait_for()
        page.locator(".pl-view svg").last.hover()  # nothing there to tell of: the reason stays
        assert why.is_visible()


def test_statistics_and_a_click_on_a_rare_part(shown: Shown, browser: Browser) -> None:
    with opened(browser, LAPTOP, color_scheme="dark", bypass_csp=True) as page:
        go(page, address(shown, view="statistics"))
        settled(page, ".pd-statistics")
        cells = page.locator(".pd-small tbody tr").all_inner_texts()
        said = [" ".join(each.split()) for each in cells]
        assert said[:2] == ["car:window 0 0 never drawn", "car:wheel 1 1 rare"]
        assert len(said) == len([n for n in (0, 1, 20, 20, 30) if n < FEW])
        bars = page.locator(".pd-bars").first.locator("li").all_inner_texts()
        assert [" ".join(each.split()) for each in bars] == ["cat 30 images", "car 2 images"]
        assert serious(page) == []
        look(page, "dataset-statistics")
        page.get_by_role("button", name="car:wheel").click()
        settled(page)
        page.get_by_text("1 of 32 images; 1 to 1 are shown").wait_for()


def test_an_export_says_what_is_in_and_why_others_are_not(
    shown: Shown, given: tuple[Path, Store], browser: Browser
) -> None:
    with opened(browser, LAPTOP, bypass_csp=True) as page:
        go(page, address(shown, view="export", object="cat", part="cat:ear"))
        settled(page, ".pd-export")
        assert page.locator("[data-in] li").first.inner_text() == "20 images"
        assert serious(page) == []
        look(page, "dataset-export")
        out = page.locator("[data-out] li").all_inner_texts()
        assert out == ["2 images: does not show cat", "10 images: no mask of cat:ear"]
        page.locator("[name=folder]").fill("ears")
        page.locator("#dataset-export").click()
        page.get_by_text("20 images, 60 masks").wait_for()
        folder = given[0].parent / "ears"
        assert len(read_coco(folder / "annotations" / "train.json").annotations) == 60
        told = json.loads((folder / "selection.json").read_text())
        assert told["in"] == {"images": 20, "masks": 60}
        assert sum(one["images"] for one in told["out"]) == 12
        assert told["filters"] == {"object": "cat", "part": "cat:ear"}
        page.locator("#dataset-export").click()
        page.locator("#dataset-step [role=alert]").wait_for()  # nothing is replaced


def test_likely_wrong_ones_first(given: tuple[Path, Store]) -> None:
    """As the audit ranks them, beside a store's masks; only where one is asked for."""
    with showing(given[0], given[1].path) as shown:
        page = DataSet(shown.site)
        html, told = page.html(Ask(order="suspicion", store="pseudo"), ME)
        source = page.sources.open("")
        scores = source.audits["pseudo"].suspicion
    assert [scores[id] for id in told["ids"]] == sorted(scores.values(), reverse=True)[:24]
    assert told["ids"][0] in (1, 2)  # of the two that the network saw
    assert "suspicion" in html


def test_only_shown_masks_are_decoded(
    given: tuple[Path, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    import app.web.pages.dataset.drawing as view

    decoded: list[Any] = []
    real = view.from_segmentation
    monkeypatch.setattr(
        view, "from_segmentation", lambda *a: decoded.append(a) or real(*a)  # type: ignore[func-returns-value]
    )  # fmt: skip
    with showing(given[0]) as shown:
        page = DataSet(shown.site)
        _, told = page.html(Ask(page="2"), ME)
    data = read_coco(given[0] / "annotations" / "train.json")
    assert len(told["ids"]) == 8
    assert len(decoded) == sum(len(data.annotations_of(id)) for id in told["ids"])


def test_programs_get_the_same(shown: Shown) -> None:
    told = Client(shown.url, verbose=False)
    words: dict[str, Any] = dict.fromkeys(Ask.__dataclass_fields__, "")
    words |= {"data": "human/train", "view": "pictures", "order": "file", "part": "ear"}
    words["page_"] = words.pop("page")
    _, _, found = told.predict(**words, api_name="/dataset_look")
    assert (found["images"], found["fit"]) == (32, 20)
    assert found["left_out"] == {"no mask of ear": 12}


@pytest.mark.parametrize(
    ("text", "span"),
    [("", (None, None)), ("0.1-0.5", (0.1, 0.5)), ("-0.5", (None, 0.5)), ("100-", (100, None)),
     ("7", (7, None)), ("1 – 2", (1, 2))],
)  # fmt: skip
def test_spans(text: str, span: tuple[Any, Any]) -> None:
    assert read_span(text, "score") == span


def test_a_span_that_is_none() -> None:
    with pytest.raises(ConfigError, match="no score"):
        read_span("high", "score")


# --- a work ------------------------------------------------------------------------------------


def box(left: int, top: int, wide: int, high: int) -> Any:
    pixels = np.zeros((48, 64), bool)
    pixels[top : top + high, left : left + wide] = True
    return encode(pixels)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work: rams whose horn lies over the head, undeclared; accepted all the same by name."""
    folder = tmp_path_factory.mktemp("farm") / "work"
    parts = (Part(name="head"), Part(name="horn"))
    vocabulary = Vocabulary(name="farm", objects=(ObjectParts(name="ram", parts=parts),))
    rows = [
        Image(id=n, object="ram", file_name=f"ram/{n}.jpg", width=64, height=48, shown=[64, 48],
              rank=n)
        for n in (1, 2, 3)
    ]  # fmt: skip
    with Work.create(folder, "farm", vocabulary, rows) as work:
        place = work.folder / "images" / "ram"
        place.mkdir(parents=True)
        for n in (1, 2, 3):
            PillowImage.new("RGB", (64, 48), (40 * n, 90, 60)).save(place / f"{n:06d}.png")
        hand_out(work, "ram")
        answers = [answer(work, n) for n in (1, 2, 3)]
        for one in answers:
            shapes = {"head": box(5, 5, 40, 30), "horn": box(10, 8, 15, 15)}
            one.masks = [{"part": name, "object": 1, "rle": rle, "origin": "manual"}
                         for name, rle in shapes.items()]  # fmt: skip
        pull(work, answers)
        work.record("submitted", who="partlab", object="ram", data={"manifest_hash": "m"})
        inspection = Inspection(work)
        inspection.sample("ram", "ina@x.org", overlaps=["horn=head"])
        inspection.pass_rest("ram", "ina@x.org")
        export(work, folder.parent / "rams")
    return folder.parent


@pytest.fixture
def farm(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(drawn, tmp_path / "farm")
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "http://127.0.0.1:9")
    return tmp_path / "farm"


def test_an_inclusion_is_declared_from_a_finding(
    farm: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Work.open(farm / "work") as work:
        server = FakeStudio(work, work.vocabulary.object("ram"), range(1001, 1004))
    monkeypatch.setattr(Studio, "from_env", lambda: server.client())
    with showing(farm / "work") as shown, opened(browser, LAPTOP) as page:
        go(page, f"{shown.url}/dataset?view=findings&data=work")
        settled(page, ".pd-findings")
        page.locator(".pd-group[data-kind=accepted_overlap] .pd-grid button").first.click()
        settled(page, ".pd-picture")
        assert lit(page) == {"ram:head", "ram:horn"}
        href = page.locator("#dataset-studio").get_attribute("href")
        assert href == "http://127.0.0.1:9/projects/71/data?task=1001"
        look(page, "dataset-work")
        page.get_by_role("button", name="Declare inclusion: horn in head").click()
        page.get_by_text("ram: horn lies in head, in version 2").wait_for()
        page.locator(".pd-fault").wait_for(state="detached")  # it was checked again
        with Work.open(farm / "work") as work:
            assert work.vocabulary.object("ram").inclusions == {"horn": "head"}


def test_a_picture_is_sent_back_from_the_data_set_of_a_work(farm: Path, browser: Browser) -> None:
    """The export knows its work; the way is closed for whoever drew it, and after it was gone."""
    with (
        showing(farm / "rams", farm / "work") as shown,
        opened(browser, LAPTOP, bypass_csp=True) as page,
    ):
        go(page, f"{shown.url}/dataset?data=rams/all&image=2")
        settled(page, ".pd-picture")
        assert "task=1002" in str(page.locator("#dataset-studio").get_attribute("href"))
        page.locator("[name=reason]").select_option("outline")
        page.locator("[name=note]").fill("too wide")
        page.locator("[name=note]").press("Enter")
        page.get_by_text("ram/2.jpg goes back to ann@x.org: outline").wait_for()
        page.get_by_text("It was sent back already; ann@x.org has it.").wait_for()
        with Work.open(farm / "work") as work:
            (one,) = corrections(work, "ram")
        assert (one.image_id, one.reason, one.note) == (2, "outline", "too wide")
        go(page, f"{shown.url}/dataset?data=work&view=export")
        settled(page, ".pd-export")
        assert serious(page) == []
        look(page, "dataset-export-work")
        assert "2 images" in page.locator("[data-in]").inner_text()
        out = page.locator("[data-out]").inner_text()
        assert "1 image that was sent back and has not passed since" in out
        page.locator("[value=exclude_failed]").check()
        page.wait_for_timeout(1000)
        assert asked(page)["wanted"] == "exclude_failed"
        page.locator("[name=folder]").fill("again")
        page.locator("#dataset-export").click()
        page.get_by_text("2 images, 4 masks").wait_for()
    with showing(farm / "work") as shown:
        page_ = DataSet(shown.site)
        html, _ = page_.html(Ask(data="work", image="1"), Person("ann@x.org", "inspector"))
        assert "You drew it" in html


def test_an_audit_that_is_kept_in_the_work_orders_it(farm: Path) -> None:
    """An image that was drawn again since is not judged by it, and comes last."""
    why = (Reason("placed", "ram:horn", "it lies where a head is", 0.4),)
    scores = {1: 0.1, 2: 0.9, 3: 0.5}
    with Work.open(farm / "work") as work:
        told = Audit([Suspect(n, f"ram/{n}.jpg", "ram", by, why) for n, by in scores.items()])
        file = keep_audit(work, told)
    with showing(farm / "work") as shown:
        page = DataSet(shown.site)
        html, found = page.html(Ask(order="suspicion"), ME)
        assert found["ids"] == [2, 3, 1]
        assert "partlab inspect audit, kept in the work on" in html
        assert "suspicion 0.90; horn: it lies where a head is" in html
        assert "Likely wrong: ram:horn" in page.html(Ask(image="1"), ME)[0]
        kept = json.loads(file.read_text())
        kept["masks"]["2"] = "of other masks"
        file.write_text(json.dumps(kept))
        os.utime(file, (1, 1))
        html, found = page.html(Ask(order="suspicion"), ME)
        assert found["ids"] == [3, 1, 2]
        assert "1 image drawn since, which come last" in html
        file.write_text("{}")
        with pytest.raises(SchemaError, match="damaged"):
            page.html(Ask(), ME)


def test_another_picture_under_the_same_number_is_not_touched(farm: Path) -> None:
    from app.web.pages.dataset.acts import in_work, sent_back

    file = farm / "rams" / "annotations" / "all.json"
    file.write_text(file.read_text().replace("ram/2.jpg", "ram/x.jpg"))
    with showing(farm / "rams", farm / "work") as shown:
        source, record = DataSet(shown.site).image("rams/all", 2)
        told = in_work(source, record, "ina@x.org")
        assert (told.link, told.back) == (None, None)
        assert "another picture" in told.no_link
        with pytest.raises(StateError, match="another picture"):
            sent_back(source, record, "ina@x.org", "outline", "")


def test_acts_are_for_their_roles(farm: Path, tmp_path: Path) -> None:
    users = tmp_path / "people.json"
    set_account(users, "ann@x.org", "annotator", PASSWORD)
    with (
        showing(farm / "work", accounts=Accounts(users)) as shown,
        client(shown.url) as http,
    ):
        http.post("/login", data={"name": "ann@x.org", "password": PASSWORD})
        for name, role, data in (
            ("include", "lead", ["work", "ram", "horn", "head"]),
            ("send_back", "inspector", ["work", "2", "outline", ""]),
            ("export", "lead", ["data=work", "out"]),
        ):
            sent = http.post(f"/gradio_api/run/dataset_{name}", json={"data": data})
            assert f"this is for the role {role}" in sent.text
        own = [one for one in shown.site.blocks.fns.values() if one.page == "dataset"]
        asks = [event for event in own if shown.site.role_of(event) != "annotator"]
    assert len(asks) == 6  # each by name, and by the click
    assert not (farm / "out").exists()


def test_without_a_data_set_the_page_says_what_to_give(colour_run: Path, browser: Browser) -> None:
    with showing(colour_run) as shown, opened(browser) as page:
        go(page, f"{shown.url}/dataset")
        page.get_by_text("partlab app world").first.wait_for()
