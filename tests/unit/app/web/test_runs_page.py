"""The Runs page: trainings side by side, one that goes on, one that is damaged."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import tiny_recognition as tiny
from axe_found import serious
from colour_segmenter import write_colour_run
from playwright.sync_api import Browser
from web_app import LAPTOP, PHONE, Shown, go, look, opened, showing

from partlab.training.runs import append_metrics, read_metrics
from train.report.summary import run_summary
from train.report.words import facts


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recognition runs, a segmenter's with a log, and a damaged one."""
    folder = tmp_path_factory.mktemp("given") / "runs"
    data = tiny.world(folder.parent / "world")
    tiny.train(data, folder / "vanilla", "attack.method=none", kind="vanilla")
    tiny.train(data, folder / "mpm", "train.epochs=2")
    segmenter = write_colour_run(folder / "seg")
    for step in range(1, 5):
        loss = {
            "step": 20 * step,
            "epoch": step,
            "loss": 3 / step,
            "mask": 2 / step,
            "box": 1 / step,
        }
        append_metrics(segmenter, {**loss, "lr": 0.1, "seconds": 10.0 * step})
        scores = {"val_ap": 0.1 * step, "val_ap50": 0.2 * step}
        append_metrics(segmenter, {"step": 20 * step, "epoch": step, **scores})
    figures = {"ap": 0.4321, "ap50": 0.7654, "miou": 0.5}
    told = {"data": {"path": "x/world", "split": "val"}, "images": 1234, "with_cf": figures,
            "without_cf": {**figures, "ap": 0.3333}}  # fmt: skip
    (segmenter / "evaluation-world-val.json").write_text(json.dumps(told))
    (segmenter / "evaluation-old.json").write_text("{")
    broken = folder / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"kind": "recognition"}')
    return folder


@pytest.fixture(scope="module")
def shown(runs: Path) -> Iterator[Shown]:
    with showing(runs) as running:
        yield running


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_facts_curves_and_settings_side_by_side(
    shown: Shown, runs: Path, browser: Browser, size: tuple[int, int]
) -> None:
    with opened(browser, size, bypass_csp=True) as page:
        go(page, f"{shown.url}/runs")
        section = page.locator('[data-kind="recognition"]')
        section.wait_for()
        look(page, f"runs-{size[0]}")
        assert serious(page) == []
        text = section.inner_text()
        for kind in ("vanilla", "mpm"):  # as `partlab train show` says it
            for _, words in facts(run_summary(runs / kind)):
                assert words in text
        assert "broken is left out" in text
        assert (
            "model.kind"
            in section.locator("h3:has-text('Settings that differ') + div").inner_text()
        )
        svg = section.locator(".pl-curves img").first.get_attribute("src") or ""
        assert b"<svg" in base64.b64decode(svg.partition(",")[2])
        segmenter = page.locator('[data-kind="segmenter"]').inner_text()
        assert "AP 40.0 %, AP50 80.0 % (epoch 4)" in segmenter
        assert "world val, 1,234 pictures" in segmenter
        assert "43.2 %" in segmenter
        assert "33.3 %" in segmenter
        assert "cannot be read" in segmenter
        labels = page.locator('[data-kind="segmenter"] .pl-curves img').evaluate_all(
            "all => all.map(e => e.alt)"
        )
        assert any(each.startswith("Masks on the validation pictures") for each in labels)
        assert any("mask" in each for each in labels)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_a_run_that_goes_on_is_read_again_and_the_choice_stands_in_the_address(
    shown: Shown, runs: Path, browser: Browser
) -> None:
    with opened(browser) as page:
        go(page, f"{shown.url}/runs?runs=seg")
        page.locator('[data-kind="segmenter"]').wait_for()
        assert page.locator('[data-kind="recognition"]').count() == 0
        assert parse_qs(urlsplit(page.url).query).get("runs") == ["seg"]
        last = read_metrics(runs / "seg")[-1]
        append_metrics(runs / "seg", {**last, "step": 100, "epoch": 5, "val_ap50": 0.95})
        page.keyboard.press("r")
        page.get_by_text("AP50 95.0 % (epoch 5)").first.wait_for()


def test_without_runs_the_page_says_what_to_give(tmp_path: Path, browser: Browser) -> None:
    from colour_segmenter import draw

    draw(tmp_path / "photos" / "cat" / "a.png", "cat")
    with showing(tmp_path / "photos") as shown, opened(browser) as page:
        go(page, f"{shown.url}/runs")
        page.get_by_text("partlab app runs").wait_for()
