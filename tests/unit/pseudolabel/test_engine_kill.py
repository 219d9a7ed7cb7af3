"""kill -9 at any moment, Ctrl-C, a full disk, two runs at once, several processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from colour_segmenter import draw_folder
from killable import SHARD, alive, contents, killed_when, label, settings, shards, started

from partlab.errors import BusyError, OutputExistsError, PartlabError
from partlab.files import exclusive
from pseudolabel.engine import label_images
from pseudolabel.settings import Thresholds
from pseudolabel.store import Store

LAUNCHER = Path(__file__).parents[2] / "plugins" / "partlab_with_colour.py"


@pytest.fixture(scope="module")
def uninterrupted(photos, colour_run, tmp_path_factory):
    """What one quiet run without workers stores."""
    out = tmp_path_factory.mktemp("whole") / "out"
    label(photos, colour_run, out, 0)
    found = contents(out)
    assert len(found) == 2 + 6  # manifest, inputs, 41 images in shards of 7
    return found


def command(images, run, out, *more):
    words = ["pseudolabel", images, "--segmenter", run, "--out", out, "--batch-size", 3]
    words += ["--set", f"shard_size={SHARD}", *more]
    return [sys.executable, str(LAUNCHER), *map(str, words)]


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_many_moments_it_goes_on_to_the_same_content(
    photos, colour_run, tmp_path, uninterrupted, workers
):
    out = tmp_path / "out"
    kills = 0
    moments = [
        lambda: out.exists(),
        lambda: (out / "inputs.parquet").exists(),
        lambda: (out / "manifest.json").exists(),
        *(lambda n=n: shards(out) > n for n in range(5)),
        lambda: any(out.glob("shards/.*.tmp")),
        lambda: shards(out) == 6,
    ]
    for moment in moments:
        kills += killed_when(started(photos, colour_run, out, workers, 0.01), moment)
        if (out / "manifest.json").exists():
            stored = Store.open(out)
            assert [row.image_id for row in stored.rows()] == list(range(1, len(stored) + 1))
    assert kills >= 8
    last = started(photos, colour_run, out, workers, 0.0)
    last.join()
    assert last.exitcode == 0
    assert contents(out) == uninterrupted


def test_what_was_stored_is_not_made_again(photos, colour_run, tmp_path):
    out = tmp_path / "out"
    assert killed_when(started(photos, colour_run, out, 0, 0.01), lambda: shards(out) >= 3)
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/part-*")}
    outcome = label_images(photos, colour_run, out, settings(), workers=0)
    assert outcome.images == 41 - SHARD * len(before)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_half_written_files_of_a_killed_run_are_swept(photos, colour_run, tmp_path, uninterrupted):
    out = tmp_path / "out"
    assert killed_when(started(photos, colour_run, out, 0, 0.01), lambda: shards(out) >= 1)
    (out / "shards" / ".part-00004.parquet.123.tmp").write_bytes(b"half")
    (out / ".inputs.parquet.123.tmp").write_bytes(b"half")
    label(photos, colour_run, out, 0)
    assert contents(out) == uninterrupted


@pytest.mark.parametrize("workers", [1, 2])
def test_same_bytes_whatever_the_workers(photos, colour_run, tmp_path, uninterrupted, workers):
    label(photos, colour_run, tmp_path / "out", workers)
    assert contents(tmp_path / "out") == uninterrupted


def test_a_deleted_shard_is_made_again(photos, colour_run, tmp_path, uninterrupted):
    out = tmp_path / "out"
    label(photos, colour_run, out, 0)
    (out / "shards" / "part-00003.parquet").unlink()
    assert label_images(photos, colour_run, out, settings(), workers=0).images == SHARD
    assert contents(out) == uninterrupted


def test_second_run_at_once_is_refused(photos, colour_run, tmp_path):
    out = tmp_path / "out"
    first = started(photos, colour_run, out, 0, 0.05)
    while not shards(out):
        time.sleep(0.01)
    with pytest.raises(BusyError, match="another partlab process is writing to"):
        label_images(photos, colour_run, out, settings(), workers=0)
    with pytest.raises(BusyError):
        label_images(photos, colour_run, out, settings(), workers=0, force=True)
    assert alive(first)
    killed_when(first, lambda: True)


def test_a_left_over_process_of_a_killed_run_is_noticed(photos, colour_run, tmp_path):
    out = tmp_path / "out"
    with exclusive(out / ".processes" / "1"), pytest.raises(BusyError, match="an earlier run"):
        label_images(photos, colour_run, out, settings(), workers=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thresholds": Thresholds(default=0.25)}, "thresholds .*0.5.* there, .*0.25.* now"),
        ({"category_filter": False}, "category_filter"),
        ({"shard_size": SHARD + 1}, "shard_size"),
    ],
)
def test_other_settings_are_refused(photos, colour_run, tmp_path, change, words):
    out = tmp_path / "out"
    label(photos, colour_run, out, 0)
    before = contents(out)
    with pytest.raises(OutputExistsError, match=words):
        label_images(photos, colour_run, out, settings().model_copy(update=change), workers=0)
    assert contents(out) == before


def test_what_decides_speed_may_change_on_the_way(photos, colour_run, tmp_path, uninterrupted):
    """Out of memory, a run goes on with smaller batches."""
    out = tmp_path / "out"
    assert killed_when(started(photos, colour_run, out, 0, 0.01), lambda: shards(out) >= 2)
    smaller = settings().model_copy(update={"batch_size": 1, "batch_pixels": 10_000})
    outcome = label_images(photos, colour_run, out, smaller, workers=0)
    assert outcome.images < 41
    assert outcome.store.manifest.config["batch_size"] == 1
    whole = tmp_path / "whole"
    for name, held in uninterrupted.items():
        (whole / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / name).write_bytes(held)
    for row, expected in zip(outcome.store.rows(), Store.open(whole).rows(), strict=True):
        assert [mask.rle for mask in row.masks] == [mask.rle for mask in expected.masks]
        scores = [mask.score for mask in expected.masks]
        assert [mask.score for mask in row.masks] == pytest.approx(scores, abs=1e-3)


def test_other_pictures_under_the_same_names_are_refused(colour_run, tmp_path):
    images, out = draw_folder(tmp_path / "images", 9), tmp_path / "out"
    label(images, colour_run, out, 0)
    first, *_ = (path for path in sorted(images.rglob("*")) if path.is_file())
    first.write_bytes(first.read_bytes() + b"more")
    with pytest.raises(OutputExistsError, match="other names, object categories or file sizes"):
        label_images(images, colour_run, out, settings(), workers=0)


def test_other_images_and_another_model_are_refused(colour_run, tmp_path):
    from colour_segmenter import COLOURS, write_colour_run

    images, out = draw_folder(tmp_path / "images", 9), tmp_path / "out"
    label(images, colour_run, out, 0)
    other = write_colour_run(tmp_path / "seg-other", colours=COLOURS + 1)
    with pytest.raises(OutputExistsError, match="the segmenter's weights"):
        label_images(images, other, out, settings(), workers=0)
    draw_folder(images, 10)
    with pytest.raises(OutputExistsError, match=r"the images \(9 there, 10 now\)"):
        label_images(images, colour_run, out, settings(), workers=0)
    forced = label_images(images, other, out, settings(), workers=0, force=True)
    assert len(forced.store) == forced.images == 10


def test_images_of_the_same_names_in_another_folder_are_refused(colour_run, tmp_path):
    """Their names tell nothing: each part world calls its pictures alike."""
    first, second = (draw_folder(tmp_path / name, 9) for name in ("first", "second"))
    out = tmp_path / "out"
    label(first, colour_run, out, 0)
    with pytest.raises(OutputExistsError, match="the images' folder"):
        label_images(second, colour_run, out, settings(), workers=0)
    first.rename(tmp_path / "moved")
    assert label_images(tmp_path / "moved", colour_run, out, settings(), workers=0).images == 0


def test_control_c_leaves_a_readable_store_and_says_130(photos, colour_run, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(photos, colour_run, out, "--workers", 2),
        env=os.environ | {"COLOUR_SEGMENTER_PAUSE": "0.1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run started in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not shards(out):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted" in said
    stored = Store.open(out)
    assert not stored.finished
    assert [row.image_id for row in stored.rows()] == list(range(1, len(stored) + 1))


def test_processes_of_torchrun_share_the_work(photos, colour_run, tmp_path, uninterrupted):
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "--standalone", "--no-python", *command(photos, colour_run, out, "--json")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"images": 41') == 1
    seats = sorted(path.name for path in (out / ".processes").iterdir())
    assert seats == ["1"]
    assert contents(out) == uninterrupted


def test_full_disk_is_a_clear_error_and_the_store_stays_readable(
    photos, colour_run, tmp_path, small_disk, uninterrupted
):
    out, ballast = small_disk / "out", small_disk / "ballast"
    ballast.write_bytes(b"x" * 170_000)
    with pytest.raises(PartlabError, match=r"cannot write .*: .*[Nn]o space left") as caught:
        label_images(photos, colour_run, out, settings(), workers=0)
    assert "free some space" in caught.value.hint
    stored = Store.open(out)
    assert 0 < len(list(stored.rows())) == len(stored) < 41
    ballast.unlink()
    label(photos, colour_run, out, 0)
    assert contents(out) == uninterrupted
