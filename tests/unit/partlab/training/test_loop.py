"""The training kernel with a trainer that is no segmenter: exact resume, attacks, processes."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from tiny_training import CONFIG, loop, same

from partlab.errors import DatasetError, OutputExistsError, PartlabError
from partlab.progress import Silent, listening
from partlab.training.process import Group, Process
from partlab.training.runs import append_metrics, read_metrics

ALONE = Group(Process())


class Stopped(Exception):
    """Stands for the moment a run dies."""


class DiesAt(Silent):
    def __init__(self, step: int) -> None:
        self.step = step

    def track(self, items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
        for item in items:
            if item == self.step:
                raise Stopped
            yield item


def train(run: Path, config: Any = CONFIG, *, attack: bool = False) -> Path:
    run.mkdir(exist_ok=True)
    loop(run, ALONE, config, attack=attack).train()
    return run


@pytest.mark.parametrize("attack", [False, True])
@pytest.mark.parametrize("stop", [3, 9, 12, 30])  # before a state, amid an epoch, at its end
def test_a_killed_training_ends_with_the_same_weights(tmp_path, attack, stop) -> None:
    whole = train(tmp_path / "whole", attack=attack)
    with pytest.raises(Stopped), listening(DiesAt(stop)):
        train(tmp_path / "broken", attack=attack)
    same(whole, train(tmp_path / "broken", attack=attack))
    for run in (whole, tmp_path / "broken"):
        scored = [m["step"] for m in read_metrics(run) if "accuracy" in m]
        assert scored == [12, 24, 36]
        assert {"loss", "class", "size", "lr"} <= read_metrics(run)[0].keys()


def test_it_learns_under_attack(tmp_path) -> None:
    scores = [m["accuracy"] for m in read_metrics(train(tmp_path, attack=True)) if "accuracy" in m]
    assert scores[-1] > 0.8


@pytest.mark.parametrize(("amp", "wanted"), [("bf16", torch.bfloat16), ("off", torch.float32)])
def test_a_step_runs_in_the_precision_asked_for(tmp_path, amp, wanted) -> None:
    """An attack's looks, with and without gradients, starve no weight of its own."""
    config = CONFIG.model_copy(update={"amp": amp, "epochs": 1})
    torch.manual_seed(config.seed)
    before = tiny_training.network().state_dict()
    made = loop(tmp_path, ALONE, config, attack=True)
    seen = set()
    made.network[0].register_forward_hook(lambda _m, _x, out: seen.add(out.dtype))
    made.validate = None
    made.train()
    assert seen == {wanted}
    after = made.network.state_dict()
    assert [n for n in after if n.endswith("weight") and torch.equal(before[n], after[n])] == []


def test_two_processes_resume_exactly_under_attack(tmp_path) -> None:
    """Killed and started again, or not; BatchNorm counts apart and is made one for checkpoints."""
    script = tiny_training.__file__
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--master-port", "29641", script]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*launch, whole, "attack"], check=True, timeout=300)
    killed = subprocess.run([*launch, broken, "attack", "die", "9"], timeout=300)
    assert killed.returncode != 0
    assert torch.load(broken / "state.pt", weights_only=True)["step"] == 8
    subprocess.run([*launch, broken, "attack"], check=True, timeout=300)
    same(whole, broken)
    told = [m["accuracy"] for m in read_metrics(whole) if "accuracy" in m]
    assert len(told) == 3
    assert told[-1] > 0.5
    with pytest.raises(OutputExistsError, match="epochs of another length than 12 steps"):
        train(broken, attack=True)  # alone: half as many batches in an epoch


def test_speed_settings_change_nothing(tmp_path) -> None:
    with pytest.raises(Stopped), listening(DiesAt(9)):
        train(tmp_path / "broken")
    faster = CONFIG.model_copy(update={"workers": 1, "checkpoint_steps": 7})
    same(train(tmp_path / "whole"), train(tmp_path / "broken", faster))


def test_a_damaged_state_is_one_sentence(tmp_path) -> None:
    train(tmp_path)
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:300])
    with pytest.raises(DatasetError, match=r"state\.pt is damaged") as caught:
        train(tmp_path)
    assert "--force" in str(caught.value.hint)


def test_a_state_of_another_network_is_one_sentence(tmp_path, monkeypatch) -> None:
    train(tmp_path)
    monkeypatch.setattr(tiny_training, "network", lambda: torch.nn.Linear(4, 3))
    with pytest.raises(DatasetError, match=r"state\.pt is of another network"):
        train(tmp_path)


def test_a_step_that_is_left_out_leaves_no_trace(tmp_path, caplog) -> None:
    """One infinite batch would make BatchNorm's running statistics NaN for good."""
    made = loop(tmp_path, ALONE)
    inner = made.step

    def step(batch: Any, number: int) -> Any:
        x, y = batch
        return inner((x * float("inf"), y) if number == 5 else batch, number)

    made.step = step
    made.train()
    assert "step 5: the gradient is not finite; this step is left out" in caplog.text
    assert caplog.text.count("left out") == 1
    assert all(torch.isfinite(each).all() for each in made.network.state_dict().values())
    scores = [m["accuracy"] for m in read_metrics(tmp_path) if "accuracy" in m]
    assert scores[-1] > 0.6


def test_a_full_disk_while_logging_names_the_file(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(PartlabError, match=r"cannot write .*metrics\.jsonl: No space left"):
        append_metrics(tmp_path, {"step": 1, "epoch": 1})


def test_an_error_of_a_batch_is_raised_as_it_is(tmp_path) -> None:
    made = loop(tmp_path, ALONE)
    error = PartlabError("cat.png is damaged", hint="mend it")
    object.__setattr__(made.batches, "collate", lambda samples: error)
    with pytest.raises(PartlabError, match=r"cat\.png is damaged"):
        made.train()


def test_metrics_are_told_to_whoever_listens(tmp_path) -> None:
    class Hears(Silent):
        heard: list[Any] = []  # noqa: RUF012

        def event(self, name: str, facts: Any) -> None:
            self.heard.append((name, dict(facts)))

    with listening(Hears()):
        append_metrics(tmp_path, {"step": 1, "loss": 2.0})
    assert Hears.heard == [("metrics", {"run": str(tmp_path), "step": 1, "loss": 2.0})]
