"""The loop, turn by turn: trained, examined, served or kept aside, and back."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from farm import FARM
from learning_farm import COLOURS, TINY, accept, run_of

from annotate.vocabulary.edit import Editor, add_parts, merge_parts, rename_part, split_part
from annotate.work import Work, rebuild_work
from partlab.coco import read_dataset
from partlab.errors import (
    ConfigError,
    DatasetError,
    NotFoundError,
    SchemaError,
    StateError,
)
from segmenter.loop import control, start, status
from segmenter.loop.job import _Doing
from segmenter.loop.naming import called_before, called_now
from segmenter.loop.state import read_job
from segmenter.loop.versions import current, folder_of, roll_back, versions, whole_run
from segmenter.runs import read_run

pytestmark = pytest.mark.usefixtures("at_once")
LEAD = "lead@x.org"


def turn(work: Work, **how: object) -> str:
    """One training; how it ended."""
    start(work.folder, who=LEAD, **how)  # type: ignore[arg-type]
    job = read_job(work.folder)
    assert job is not None
    return f"{job.state}: {job.why}"


def test_what_is_better_is_served(work: Work, tmp_path: Path) -> None:
    accept(work)
    told = turn(work, run=run_of(tmp_path / "poor", wrong=True))
    assert told.startswith(
        "done: version 2 is served: it is better: mean IoU 66.7 against 29.1 percent on 12"
    )
    first, second = versions(work)
    assert (first.parent, first.served, second.parent, second.served) == (None, True, 1, True)
    assert first.given == str(tmp_path / "poor")
    assert second.who == LEAD
    assert current(work) == second


def test_the_history_says_what_was_learnt(work: Work, tmp_path: Path) -> None:
    """Every served version with the hashes of data and weights, also after a rebuild."""
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    served = current(work)
    assert served is not None
    train = read_dataset(folder_of(work.folder, 2) / "data", "train")
    assert served.data is not None
    assert served.data["train"]["sha256"] == train.fingerprint
    assert served.exam is not None
    assert served.exam["all"]["images"] == 12
    assert whole_run(work.folder, served) == folder_of(work.folder, 2)
    event = [e for e in work.events() if e.what == "version"][-1]
    assert event.data["weights_sha256"] == served.weights_sha256


def test_what_is_worse_is_kept_aside_with_its_figures(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(work)
    import colour_segmenter

    write = colour_segmenter.write_colour_run
    monkeypatch.setattr(
        colour_segmenter,
        "write_colour_run",
        lambda run, names, colours, inclusions: write(run, names, colours + 60, inclusions),
    )
    told = turn(work, run=run_of(tmp_path / "good"))
    assert told.startswith(
        "done: version 2 is kept aside: it is worse: mean IoU 0.0 against 95.7 percent on 12"
    )
    served, aside = current(work), versions(work)[-1]
    assert served is not None
    assert (served.number, aside.number, aside.served) == (1, 2, False)
    assert aside.exam is not None
    assert aside.exam["all"]["new"] < aside.exam["all"]["old"]


def test_too_few_held_out_pictures_are_no_reason_to_serve(work: Work, tmp_path: Path) -> None:
    accept(work, "schöner Hammer")
    run = run_of(tmp_path / "run", names=("schöner Hammer:handle",), wrong=True)
    told = turn(work, run=run)
    assert "kept aside: too few pictures are held out to tell" in told
    assert current(work) == versions(work)[0]


def test_a_first_version_from_nothing(work: Work) -> None:
    """Nothing finds nothing, so whatever helps is better; but it has to help in the exam."""
    accept(work)
    told = turn(work, backend="colour")
    assert told.startswith(
        "done: version 1 is served: it is better: mean IoU 66.7 against 0.0 percent on 12"
    )
    (only,) = versions(work)
    assert (only.parent, only.given) == (None, None)


def trained_config(work: Work, version: int) -> dict[str, Any]:
    told: dict[str, Any] = read_run(folder_of(work.folder, version))["config"]["train"]
    return told


def test_weights_of_another_backend_are_not_gone_on_from(work: Work, tmp_path: Path) -> None:
    """A Mask R-CNN after a colour segmenter begins anew; the next one goes on from it."""
    accept(work)
    how = {"run": run_of(tmp_path / "poor", wrong=True), "backend": "torchvision"}
    assert turn(work, **how, recipe="small", overrides=TINY).startswith("done")
    made = versions(work)[-1]
    assert (made.parent, made.data["began_from"]) == (1, None)  # it was only compared with it
    assert not trained_config(work, 2)["start"]
    roll_back(work, 2, LEAD)
    accept(work, "schöner Hammer")
    assert turn(work).startswith("done")
    assert versions(work)[-1].data["began_from"] == 2
    assert trained_config(work, 3)["start"] == str(folder_of(work.folder, 2).absolute())


def test_nothing_accepted_yet(work: Work, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no picture is accepted yet"):
        start(work.folder, backend="colour")
    assert read_job(work.folder) is None
    with pytest.raises(StateError, match="no picture is accepted yet"):
        start(work.folder, run=run_of(tmp_path / "run"))
    served = current(work)
    assert served is not None, "the run that was given is served meanwhile"
    assert served.number == 1


def test_nothing_new_is_refused(work: Work, tmp_path: Path) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    assert turn(work) == "refused: nothing was accepted since version 2 was made"
    assert len(versions(work)) == 2
    assert not folder_of(work.folder, 3).exists()
    accept(work, "schöner Hammer")
    assert turn(work).startswith("done: version 3")


def test_back_and_forth(work: Work, tmp_path: Path) -> None:
    accept(work)
    with pytest.raises(StateError, match="serves no version yet"):
        roll_back(work, None, LEAD)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    assert roll_back(work, None, LEAD).number == 1
    assert current(work) == versions(work)[0]
    with pytest.raises(StateError, match="version 1 replaced none"):
        roll_back(work, None, LEAD)
    with pytest.raises(StateError, match="version 1 is served already"):
        roll_back(work, 1, LEAD)
    with pytest.raises(NotFoundError, match="no version 7"):
        roll_back(work, 7, LEAD)
    assert roll_back(work, 2, LEAD).number == 2
    assert [e.data for e in work.events() if e.what == "rollback"] == [
        {"version": 1, "before": 2},
        {"version": 2, "before": 1},
    ]


def test_a_rollback_during_the_exam_counts(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared with another version than is served by then is compared again."""
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    accept(work, "schöner Hammer")
    record, rolled = _Doing._record, []

    def late(self: _Doing, *given: object) -> object:
        if not rolled:
            rolled.append(roll_back(work, 1, LEAD))
        return record(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(_Doing, "_record", late)
    turn(work)
    third = versions(work)[-1]
    assert (third.number, third.parent, third.served) == (3, 1, True)


def test_the_history_can_be_replayed(work: Work, tmp_path: Path) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    roll_back(work, 1, LEAD)
    known, served = versions(work), current(work)
    work.close()
    answers = {e.id: 0 for e in work.events() if e.what == "pulled"}

    def ingest(opened: Work, event: object) -> tuple[list[object], list[object]]:
        from farm_drawn import drawn

        return [drawn(opened, t.image_id, "ram") for t in opened.tasks("ram", 1)], []

    assert answers
    rebuild_work(work.folder, ingest)  # type: ignore[arg-type]
    with Work.open(work.folder) as again:
        assert versions(again) == known
        assert current(again) == served


@pytest.mark.parametrize("broken", ["nothing", "weights", "config", "foreign"])
def test_a_broken_run_is_refused_and_nothing_is_served(
    work: Work, tmp_path: Path, broken: str
) -> None:
    accept(work)
    run = run_of(tmp_path / "run", names=("dog:head",) if broken == "foreign" else ())
    if broken == "nothing":
        shutil.rmtree(run)
    if broken == "weights":
        (run / "best.safetensors").write_bytes(b"half")
    if broken == "config":
        (run / "config.json").write_text("{")
    with pytest.raises((NotFoundError, SchemaError, DatasetError, StateError)):
        start(work.folder, run=run)
    assert current(work) is None
    assert read_job(work.folder) is None


def test_weights_that_were_changed_are_not_trusted(work: Work, tmp_path: Path) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    run_of(folder_of(work.folder, 1))
    with pytest.raises(DatasetError, match="not those of version 1 in the history"):
        roll_back(work, 1, LEAD)
    shutil.rmtree(folder_of(work.folder, 2))
    with pytest.raises(NotFoundError, match="is not a segmenter run"):
        start(work.folder)


def test_a_second_first_version(work: Work, tmp_path: Path) -> None:
    accept(work)
    run = run_of(tmp_path / "poor", wrong=True)
    turn(work, run=run)
    with pytest.raises(StateError, match="has a first version already"):
        start(work.folder, run=run_of(tmp_path / "other"))
    assert turn(work, run=run).startswith("refused: nothing was accepted"), "the same one again"


def test_wrong_settings_are_said_before_anything_is_done(work: Work, tmp_path: Path) -> None:
    accept(work)
    with pytest.raises(ConfigError, match="unknown setting"):
        start(work.folder, backend="colour", overrides=["epochs=3"])
    with pytest.raises(ConfigError, match="unknown recipe"):
        start(work.folder, backend="colour", recipe="large")
    with pytest.raises(NotFoundError, match="holds no work"):
        start(tmp_path / "nowhere")
    assert read_job(work.folder) is None


def test_a_full_disk_fails_and_the_same_command_goes_on(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import colour_segmenter

    from partlab.files import cannot_write

    accept(work)
    write = colour_segmenter.write_colour_run

    def full(run: Path, *given: object) -> Path:
        raise cannot_write(run / "best.safetensors", OSError(28, "")) from None

    monkeypatch.setattr(colour_segmenter, "write_colour_run", full)
    told = turn(work, run=run_of(tmp_path / "poor", wrong=True))
    assert told.startswith("failed: cannot write")
    assert "No space left on device (free some space" in told
    with pytest.raises(StateError, match="was cut off, and has settings of its own"):
        start(work.folder, overrides=["score_threshold=0.1"])
    monkeypatch.setattr(colour_segmenter, "write_colour_run", write)
    assert turn(work).startswith("done: version 2 is served")
    job = read_job(work.folder)
    assert job is not None
    assert job.number == 1, "it is the same job"


def test_a_failed_job_can_be_dropped(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import colour_segmenter

    accept(work)
    monkeypatch.setattr(colour_segmenter, "write_colour_run", lambda *_: 1 / 0)
    told = turn(work, run=run_of(tmp_path / "poor", wrong=True))
    assert told == "failed: ZeroDivisionError: division by zero"
    assert control.cancel(work.folder).state == "cancelled"
    assert not folder_of(work.folder, 2).exists()
    with pytest.raises(StateError, match="nothing is being trained"):
        control.cancel(work.folder)


def test_a_damaged_job_file_is_said(work: Work) -> None:
    (work.folder / "loop").mkdir()
    (work.folder / "loop" / "job.json").write_text("[]")
    with pytest.raises(SchemaError, match=r"job\.json is damaged"):
        status(work.folder)


# -- the vocabulary changes ----------------------------------------------------------------------

NOW = {"ram:head": "head", "ram:horn": "horn", "ram:body": "body"}


def test_a_renamed_part_is_the_same_part(work: Work, tmp_path: Path) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    work.replace_vocabulary(rename_part(FARM, "ram", "head", "skull", Editor(LEAD)), LEAD)
    old = versions(work)[1]
    now = {"ram:skull": "head", "ram:horn": "horn", "ram:body": "body"}
    assert called_now(work, old, now)["ram:head"] == "ram:skull"
    assert called_before(work, old, now) == {"ram:skull": "ram:head"}
    told = turn(work)
    assert "kept aside: it is not better beyond luck: mean IoU 66.7 against 66.7" in told, (
        "the very same"
    )


def test_pieces_of_a_split_begin_as_the_whole_and_new_parts_anew(
    work: Work, tmp_path: Path
) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    by = Editor(LEAD)
    split = split_part(FARM, "ram", "body", ["trunk", "legs"], by)
    grown = add_parts(split, "ram", ["tail"], by)
    work.replace_vocabulary(grown, LEAD)
    old, parts = versions(work)[1], grown.object("ram")
    now = {f"ram:{part.name}": part.id for part in parts.parts}
    before = called_before(work, old, now)
    assert (before["ram:trunk"], before["ram:legs"], before["ram:tail"]) == (
        *("ram:body", "ram:body"),
        "",
    )
    assert called_now(work, old, now) == {"ram:head": "ram:head", "ram:horn": "ram:horn"}


def test_merged_parts_are_one(work: Work, tmp_path: Path) -> None:
    accept(work)
    turn(work, run=run_of(tmp_path / "poor", wrong=True))
    merged = merge_parts(FARM, "ram", ["horn", "body"], "rest", Editor(LEAD))
    work.replace_vocabulary(merged, LEAD)
    old, parts = versions(work)[1], merged.object("ram")
    now = {f"ram:{part.name}": part.id for part in parts.parts}
    called = called_now(work, old, now)
    assert called["ram:horn"] == called["ram:body"] == "ram:rest"
    assert called_before(work, old, now)["ram:rest"] in ("ram:horn", "ram:body")


def test_colours_are_what_was_painted() -> None:
    """The farm that learns is only worth something if its parts can be told apart."""
    assert len({*COLOURS.values()}) == len(COLOURS)
