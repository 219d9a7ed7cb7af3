"""Facts, curves and the page of recognition runs, from run folders written by hand."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from partlab.errors import ConfigError, NotFoundError, PartlabError, SchemaError
from partlab.training.runs import append_metrics, read_metrics, scan_metrics
from train.recipes import changed, recipe
from train.report import Summary, run_summary, words, write_curves, write_page
from train.report.curves import colours, panel_svg, shown_panels
from train.report.history import History
from train.report.panels import panels, points, running_mean, thinned, window
from train.report.summary import differing, short_names
from train.runs import write_run

PICTURES = "1,100 pictures (60 human, 1,040 pseudo) of 2 classes, 3 parts"
EPOCH = 50  # steps; logged at 20, 40 and 50
Make = Callable[..., Path]


def step_line(step: int, *, parts: bool, **more: float) -> dict[str, float]:
    loss = 3.0 - step / 200
    line = {"step": step, "epoch": (step - 1) // EPOCH + 1, "loss": loss, "class": loss}
    if parts:
        line |= {"loss": 2 * loss, "part": loss, "part_human": loss / 3, "part_pseudo": loss / 2}
        line |= {"part_accuracy": 0.5, "part_missed": 0.4}
    line |= {"lr": 1e-3, "seconds": step / 2, "pictures_per_second": 64.0 + step % 3}
    return {**line, "class_accuracy": 0.25, **more}


def validation(epoch: int, clean: float, pgd: float, **more: float) -> dict[str, float]:
    found = {"val_clean": clean, "val_pgd": pgd, "val_commonest": 0.2}
    return {"step": epoch * EPOCH, "epoch": epoch, **found, **more}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a run of 4 epochs: `done` steps of it, with these (clean, pgd) after the epochs."""

    def make(
        name: str = "run",
        accuracies: tuple[tuple[float, float], ...] = ((0.3, 0.2), (0.5, 0.4), (0.6, 0.3)),
        *,
        done: int = 3 * EPOCH,
        kind: str = "mpm",
        settings: tuple[str, ...] = (),
        val: bool | str = True,
        data: str = "d",
    ) -> Path:
        run = tmp_path / name
        config = changed(recipe("small_at", kind=kind), ["train.epochs=4", *settings])
        about: dict[str, Any] = {
            "config": config.model_dump(mode="json"),
            "processes": 1,
            "data": data,
        }
        about |= {"classes": ["a", "b"], "parts": ["a:x", "a:y", "b:x"]}
        about |= {"pictures": PICTURES, "val": str(val) if val else None}
        write_run(run, about)
        for step in range(1, done + 1):
            if step % 20 == 0 or step % EPOCH == 0:
                append_metrics(run, step_line(step, parts=kind != "vanilla"))
            if val and step % EPOCH == 0:
                append_metrics(run, validation(step // EPOCH, *accuracies[step // EPOCH - 1]))
        return run

    return make


def test_the_facts_of_an_unfinished_run(make: Make) -> None:
    run = run_summary(make())
    assert (run.model, run.classes, run.parts) == ("mpm on small_resnet16", 2, 3)
    assert (run.history.epochs_done, run.history.step, run.finished) == (3, 150, False)
    assert run.best is not None
    assert run.last is not None
    assert (run.best.epoch, run.best.clean, run.best.pgd) == (2, 0.5, 0.4)
    assert (run.last.epoch, run.last.clean, run.last.pgd) == (3, 0.6, 0.3)
    assert run.history.speed == 65.0
    assert run.seconds_left == 25  # 50 steps, two a second
    told = dict(words.facts(run))
    assert told["trained on"] == PICTURES
    assert told["attack"] == "pgd, 2 steps, 4/255 (linf)"
    assert told["progress"] == (
        "3 of 4 epochs, 150 steps in 1 min 15 s, not finished; about 25 s left"
    )
    assert told["best"] == "clean 50.0 %, under PGD 40.0 % (epoch 2)"
    assert told["speed"] == "65.0 pictures/s"
    assert "chosen by PGD accuracy on these same validation pictures" in words.about_best([run])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["attack.method=free"], "free, 4 replays, 4/255 (linf)"),
        (["attack.method=nfgsm"], "nfgsm, one step, 4/255 (linf)"),
        (["attack.method=trades", "attack.steps=1"], "trades, 1 step, 4/255 (linf)"),
        (["attack.method=none"], "none (clean pictures)"),
    ],
)
def test_an_attack_is_told_as_its_method_works(make: Make, settings: list[str], said: str) -> None:
    assert run_summary(make(done=0, settings=tuple(settings))).attack == said


def test_clean_accuracy_chooses_where_nothing_attacks_and_the_later_of_equals(make: Make) -> None:
    run = run_summary(make("a", settings=("attack.method=none",)))
    assert run.best is not None
    assert run.best.epoch == 3
    assert "chosen by clean accuracy" in words.about_best([run])
    same = run_summary(make("b", ((0.3, 0.4), (0.2, 0.4), (0.6, 0.3))))
    assert same.best is not None
    assert same.best.epoch == 2


def test_a_finished_run_has_no_time_left(make: Make) -> None:
    run = run_summary(make("r", ((0.3, 0.2),) * 4, done=4 * EPOCH))
    assert run.finished
    assert run.seconds_left is None
    assert words.progress(run).endswith("finished")
    assert "not" not in words.progress(run)


def test_after_a_resume_time_goes_on_and_pace_is_the_last_attempts(make: Make) -> None:
    run = make(done=100)
    for step, seconds in ((120, 4.0), (140, 8.0)):  # begun anew, five steps a second
        append_metrics(run, step_line(step, parts=True, seconds=seconds))
    read = run_summary(run)
    assert read.history.seconds == 50 + 8
    assert read.seconds_left == pytest.approx((200 - 140) / 5)


def test_one_line_of_an_attempt_tells_the_pace_by_pictures(make: Make) -> None:
    run = make(done=100)
    append_metrics(run, step_line(120, parts=True, seconds=1.0))
    read = run_summary(run)
    assert read.history.speed is not None
    assert read.seconds_left == pytest.approx(80 * 32 / read.history.speed)


def test_the_first_epoch_knows_no_length_until_its_weights_are_there(make: Make) -> None:
    run = make(done=EPOCH, val=False)
    before = run_summary(run)
    assert (before.history.epoch_steps, before.history.epochs_done) == (None, 0)
    assert before.seconds_left is None
    (run / "last.safetensors").touch()
    after = run_summary(run)
    assert (after.history.epoch_steps, after.history.epochs_done) == (EPOCH, 1)


def test_without_validation_epochs_are_counted_by_steps(make: Make) -> None:
    run = run_summary(make(done=2 * EPOCH + 40, val=False))
    assert (run.history.epoch_steps, run.history.epochs_done) == (EPOCH, 2)
    assert run.best is None
    assert dict(words.facts(run))["best"] == "not validated"
    assert "that of the last epoch" in words.about_best([run])
    early = run_summary(make("early", done=40))
    assert dict(words.facts(early))["best"] == "not validated yet"


def test_alarms_are_told_with_the_epochs_they_held_for(make: Make) -> None:
    run = make(done=0)
    shares = [(0.5, 0.4), (0.5, 0.1), (0.5, 0.05), (0.5, 0.4), (0.5, 0.1)]
    for epoch, (clean, pgd) in enumerate(shares, 1):
        append_metrics(run, validation(epoch, clean, pgd, val_commonest=1.0 if epoch == 4 else 0.2))
    read = run_summary(run)
    assert [(a.first, a.last) for a in read.alarms] == [(2, 3), (4, 4), (5, 5)]
    assert "from 40.0 to 5.0" in read.alarms[0].sentence
    assert read.alarms[1].words.startswith("epoch 4: collapse")
    assert words.notes(read)[0].startswith("epochs 2–3: PGD accuracy fell")


DAMAGED = [
    '{"step": 60, "ep',
    "[1, 2]",
    '{"step": 160, "epoch": 4, "loss": "low"}',
    '{"step": 160, "epoch": 4, "loss": null}',
    '{"step": 160, "loss": 1.0}',
    '{"step": 160, "epoch": 4, "lr": 1.0}',
    '{"step": true, "epoch": 4, "loss": 1.0}',
]


@pytest.mark.parametrize("line", DAMAGED)
def test_damaged_lines_are_left_out_and_counted(make: Make, line: str) -> None:
    run = make()
    before = run_summary(run)
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as log:
        log.write(line + "\n")
    after = run_summary(run)
    assert (before.history.damaged, after.history.damaged) == (0, 1)
    assert (after.history.steps, after.best) == (before.history.steps, before.best)
    assert words.notes(after) == ["1 damaged line of metrics.jsonl left out"]


def test_bytes_that_are_no_text_damage_one_line_only(make: Make) -> None:
    run = make()
    whole = len(read_metrics(run))
    with open(run / "metrics.jsonl", "ab") as log:
        log.write(b"\xff\xfe\x00\n")
    assert scan_metrics(run)[1] == 1
    assert len(read_metrics(run)) == whole


def test_a_loss_that_is_not_finite_is_said_and_not_drawn(make: Make) -> None:
    run = make(done=100)
    nan = float("nan")
    append_metrics(run, step_line(120, parts=True) | {"loss": nan, "class": nan})
    read = run_summary(run)
    assert "1 logged steps had no finite loss" in words.notes(read)[0]
    shown = {panel.title: panel for panel in panels([read.history])}["Class loss"]
    places = [at for at, _ in points(shown.lines[0], shown, read.history, lambda r: r["step"])]
    assert places == [20, 40, 50, 60, 80, 100]


def test_a_run_without_a_step_has_facts_and_no_curves(make: Make, tmp_path: Path) -> None:
    run = make(done=0)
    assert words.progress(run_summary(run)) == "no step logged yet"
    with pytest.raises(NotFoundError, match="no step logged yet"):
        write_curves([run], tmp_path / "a.png")
    with pytest.raises(NotFoundError, match="no step logged yet"):
        write_page([run], tmp_path / "a.html")
    assert not list(tmp_path.glob("a.*"))


def test_other_folders_are_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not a recognition run"):
        run_summary(tmp_path)
    (tmp_path / "seg").mkdir()
    (tmp_path / "seg" / "config.json").write_text('{"backend": "torchvision", "config": {}}')
    with pytest.raises(SchemaError, match="another kind: segmenter"):
        run_summary(tmp_path / "seg")
    run = make()
    about = json.loads((run / "config.json").read_text())
    about["config"]["model"]["depht"] = 3
    (run / "config.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="unknown setting"):
        run_summary(run)


def titles(*runs: Path) -> list[str]:
    return [panel.title for panel in shown_panels([run_summary(run) for run in runs])]


def test_only_what_there_is_gets_axes(make: Make) -> None:
    mpm, vanilla = make("mpm"), make("vanilla", kind="vanilla")
    assert titles(mpm) == [
        "Accuracy on the validation pictures",
        "Class loss",
        "Part loss × its weight λ",
        "Part loss, people's masks",
        "Part loss, pseudo labels",
        "Cells of the part output named right",
        "Cells of parts called background",
        "Accuracy in training, on the pictures as attacked",
        "Speed",
        "Learning rate",
    ]
    assert not any("art loss" in title for title in titles(vanilla))
    assert titles(vanilla, mpm) == titles(mpm)
    append_metrics(vanilla, step_line(160, parts=False, robust=0.3, odd=0.1))
    assert {"Robust loss × β (TRADES)", "Loss “odd”"} <= set(titles(vanilla))


def test_part_loss_by_label_source_shows_training_against_validation(make: Make) -> None:
    """X-03: the gap between the two is how far the masks were learnt by heart."""
    run = make(done=100)
    append_metrics(run, validation(3, 0.5, 0.4, val_part_human=0.9))
    history = run_summary(run).history
    panel = {each.title: each for each in panels([history])}["Part loss, people's masks"]
    val, training = (points(line, panel, history, lambda r: r["step"]) for line in panel.lines)
    assert val == [(150, 0.9)]
    assert [at for at, _ in training] == [20, 40, 50, 60, 80, 100]
    assert [line.dash for line in panel.lines] == ["solid", "dashed"]


def ink(png: Path, colour: str) -> int:
    """Pixels of just that colour."""
    pixels = np.asarray(PillowImage.open(png).convert("RGB"))
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((pixels == wanted).all(axis=-1).sum())


def test_the_picture_has_every_run_in_its_colour(make: Make, tmp_path: Path) -> None:
    first, second = (
        make("a", kind="vanilla"),
        make("b", kind="vanilla", accuracies=((0.1, 0.1),) * 3),
    )
    one, two = colours(2)
    write_curves([first], tmp_path / "one.png")
    write_curves([first, second], tmp_path / "two.png")
    assert ink(tmp_path / "one.png", one) > 500
    assert ink(tmp_path / "one.png", two) == 0
    assert ink(tmp_path / "two.png", two) > 500


def test_a_single_point_is_seen(make: Make, tmp_path: Path) -> None:
    run = make(done=20, kind="vanilla")
    write_curves([run], tmp_path / "a.png")
    assert ink(tmp_path / "a.png", colours(1)[0]) > 4 * 10  # a dot in each of four axes


@pytest.mark.parametrize("count", [1, 7, 8, 20])
def test_colours_are_told_apart(count: int) -> None:
    assert len(set(colours(count))) == count


def test_the_page_stands_alone_and_says_the_facts(make: Make, tmp_path: Path) -> None:
    run = make()
    page = write_page([run], tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/svg+xml;base64,') == 10
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "50.0 %" in page
    assert "clean 60.0 %, under PGD 30.0 % (epoch 3)" in page
    assert "part.pseudo_weight" in page
    assert "Settings that differ" not in page
    panel = shown_panels([run_summary(run)])[0]
    assert panel_svg(panel, [run_summary(run)]) == panel_svg(panel, [run_summary(run)])


def test_names_are_escaped_on_the_page(make: Make, tmp_path: Path) -> None:
    run = make("<b>&", kind="vanilla", done=20)
    page = write_page([run], tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<b>&<" not in page
    assert "&lt;b&gt;&amp;" in page


def test_several_runs_tell_the_settings_that_differ(make: Make, tmp_path: Path) -> None:
    light = make("light", settings=("part.weight=0.5",), done=20)
    runs = [make("mpm", done=20), light, make("v", kind="vanilla", done=20)]
    read = [run_summary(run) for run in runs]
    assert differing(read) == {
        "model.kind": ["mpm", "mpm", "vanilla"],
        "part.weight": [3.0, 0.5, 3.0],
    }
    page = write_page(read, tmp_path / "p.html").read_text(encoding="utf-8")
    table = page.partition("Settings that differ")[2].partition("All settings")[0]
    assert re.findall(r"<code>(.*?)</code>", table) == ["model.kind", "part.weight"]
    assert [f'background: {colour}"' in table for colour in colours(3)] == [True] * 3


def test_what_cannot_be_compared_is_said(make: Make, tmp_path: Path) -> None:
    here, other = make("a", done=20), make("b", done=20, val="other", data="other")
    step = make("c", done=20, settings=("attack.eps=8/255", "train.lr=1e-3"))
    alone = make("d", done=20, val=False, settings=("val.steps=3",))
    read = {run.run.name: run for run in map(run_summary, (here, other, step, alone))}
    assert words.warnings([read["a"]]) == []
    assert words.warnings([read["a"], read["d"]]) == []  # not validated at all
    assert words.warnings([read["a"], read["b"]]) == [
        "these runs were trained on different pictures or masks",
        "these runs were validated on different pictures: do not compare accuracies",
    ]
    (said,) = words.warnings([read["a"], read["c"]])
    assert "(attack.eps)" in said
    page = write_page([read["a"], read["c"]], tmp_path / "p.html").read_text(encoding="utf-8")
    assert said in page


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "null"), (True, "true"), (4 / 255, "0.0156863"), ([3 / 4, 4 / 3], "[0.75, 1.33333]")],
)
def test_settings_are_written_as_they_are_set(value: Any, said: str) -> None:
    assert words.setting(value) == said


def test_epochs_of_another_length_lie_on_one_axis(make: Make) -> None:
    """Runs of other batch sizes are compared by epochs; without a length, by steps."""
    mpm = run_summary(make("mpm"))
    panel = shown_panels([mpm])[0]
    assert b"epochs" in _words(panel_svg(panel, [mpm]))
    early = run_summary(make("early", done=20))
    assert b"steps" in _words(panel_svg(panel, [mpm, early]))
    nothing = run_summary(make("nothing", done=0))
    assert b"epochs" in _words(panel_svg(panel, [mpm, nothing]))


def _words(svg: bytes) -> bytes:
    """Text is drawn as outlines; what it says stands in comments."""
    return b" ".join(re.findall(rb"<!-- (.*?) -->", svg))


def test_a_folder_that_cannot_be_written_to_is_said(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = make(done=20, kind="vanilla")
    with pytest.raises(PartlabError, match="cannot write"):
        write_curves([run], tmp_path / "file" / "a.png")
    with pytest.raises(PartlabError, match="cannot write"):
        write_page([run], tmp_path / "file" / "a.html")


def test_short_names_tell_paths_apart() -> None:
    assert short_names([Path("/r/a/mpm"), Path("/r/b/mpm")]) == ["a/mpm", "b/mpm"]
    assert short_names([Path("/r/a"), Path("/r/b")]) == ["a", "b"]


def test_json_has_no_nan_and_all_facts(make: Make) -> None:
    told = json.loads(json.dumps(run_summary(make()).as_json(), allow_nan=False))
    assert told["best"] == {"epoch": 2, "clean": 0.5, "pgd": 0.4}
    assert told["chosen_by"] == "val_pgd"
    assert [each["epoch"] for each in told["validations"]] == [1, 2, 3]
    assert told["settings"]["part.weight"] == 3.0


DURATIONS = [(0.4, "0 s"), (75, "1 min 15 s"), (4000, "1 h 06 min"), (90_000, "1 d 01 h")]


@pytest.mark.parametrize(("seconds", "said"), [*DURATIONS, (None, "–"), (59.7, "1 min 00 s")])
def test_durations(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


LINES = st.lists(
    st.tuples(st.integers(0, 1000).map(float), st.floats(-1e3, 1e3)), min_size=1, max_size=60
)


@given(LINES, st.integers(1, 20))
def test_a_running_mean_is_the_mean_of_neighbours(line: list[Any], window: int) -> None:
    found = running_mean(line, window)
    half = window // 2
    for at, (x, y) in enumerate(found):
        near = np.array(line[max(at - half, 0) : at + half + 1])
        np.testing.assert_allclose((x, y), near.mean(axis=0), atol=1e-9)


@given(LINES, st.integers(1, 30))
def test_thinning_keeps_the_mean_of_equal_groups(line: list[Any], most: int) -> None:
    found = thinned(line, most)
    assert 1 <= len(found) <= most
    if len(line) <= most:
        assert found == line
    if len(line) % len(found) == 0:
        np.testing.assert_allclose(np.mean(found, axis=0), np.mean(line, axis=0), atol=1e-6)


def test_a_line_of_any_length_stays_drawable() -> None:
    assert len(thinned([(float(at), 0.0) for at in range(1000)])) == 334


@pytest.mark.parametrize(("epochs", "lines", "over"), [(100, 4, 4), (2, 100, 10), (4, 3, 1)])
def test_a_running_mean_is_over_an_epoch_or_less_in_a_short_run(
    epochs: int, lines: int, over: int
) -> None:
    every = range(1, epochs * lines + 1)
    steps = tuple({"step": 20 * at, "epoch": (at - 1) // lines + 1, "loss": 1.0} for at in every)
    assert window(History(steps, (), 0, 20 * lines)) == over


LOADED = """
import sys
from train.report import run_summary, write_page
run_summary(sys.argv[1])
print([name for name in ("torch", "matplotlib", "jinja2", "timm") if name in sys.modules])
"""


def test_reading_a_run_loads_nothing_heavy(make: Make) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(make())], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_summaries_are_taken_as_they_are(make: Make, tmp_path: Path) -> None:
    """A run goes on while its page is made: what was read once is what all files say."""
    read: Summary = run_summary(make(kind="vanilla"))
    append_metrics(read.run, validation(4, 0.9, 0.9))
    assert "90.0 %" not in write_page([read], tmp_path / "p.html").read_text(encoding="utf-8")
