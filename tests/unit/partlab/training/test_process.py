"""Processes, precision and seeds of the training kernel."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from partlab.errors import PartlabError, UnknownNameError
from partlab.training.amp import autocast, has_bf16, slow_bf16, uses_bf16
from partlab.training.process import Process
from partlab.training.seeds import seed_step

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

WORK = """
import sys
from pathlib import Path
from partlab.errors import PartlabError, UnknownNameError
from partlab.training.process import Process

def refuse():
    raise UnknownNameError("part", "tial", ["tail", "head"])

here = Process.current()
with here.joined() as group:
    assert group.lead(lambda: here.rank + 5) == 5
    assert group.gather(here.rank * 10) == ([0, 10] if here.leads else [])
    assert here.share(list("abcde")) == list("ace" if here.leads else "bd")
    try:
        group.lead(refuse)
    except PartlabError as error:
        heard = f"{type(error).__name__} {error.message} {error.hint}"
        Path(sys.argv[1], f"heard-{here.rank}").write_text(heard)
    group.wait()
"""


def test_what_leads_says_is_heard_by_all_errors_too(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--master-port", "29643"]
    subprocess.run([*launch, *port, script, tmp_path], check=True, timeout=300)
    wanted = "UnknownNameError unknown part 'tial' did you mean tail?"
    assert [(tmp_path / f"heard-{rank}").read_text() for rank in (0, 1)] == [wanted, wanted]


def test_a_process_alone_needs_no_group() -> None:
    with Process().joined() as group:
        assert group.lead(lambda: 3) == 3
        assert group.gather("x") == ["x"]
        network = torch.nn.Linear(2, 2)
        assert group.parallel(network) is network
        group.share_buffers(network)
        group.wait()
    assert not torch.distributed.is_initialized()


def test_torchruns_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Process.current() == Process()
    for name, value in (("RANK", 5), ("WORLD_SIZE", 8), ("LOCAL_RANK", 1)):
        monkeypatch.setenv(name, str(value))
    here = Process.current()
    assert here == Process(5, 8, 1, 8)
    assert not here.leads
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert here.device() == "cuda:1"
    assert Process().device() is None


def test_the_light_half_needs_no_torch() -> None:
    code = (
        "import sys, partlab.training.process, partlab.training.settings, partlab.training.runs,"
        "partlab.training.identity, segmenter.runs; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])


def test_every_error_travels_between_processes() -> None:
    for error in (PartlabError("a", hint="b"), UnknownNameError("part", "tial", ["tail"])):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (again.message, again.hint, str(again)) == (error.message, error.hint, str(error))


def test_bf16_on_a_processor_without_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert not has_bf16(CPU)
    assert "no bf16 instructions" in str(slow_bf16(CPU, "bf16"))
    assert slow_bf16(CPU, "auto") is slow_bf16(CPU, "off") is None
    for name in ("avx512_bf16", "amx_bf16", "bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert slow_bf16(CPU, "bf16") is None


def test_auto_is_bf16_on_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in (True, False):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able
        )
        assert uses_bf16(CUDA, "auto") is able
        assert uses_bf16(CUDA, "off") is False
        assert (slow_bf16(CUDA, "bf16") is None) is able
    assert uses_bf16(CPU, "auto") is False
    with autocast(CPU, "bf16"):
        assert torch.is_autocast_enabled("cpu")
        with autocast(CPU, "off"):
            assert not torch.is_autocast_enabled("cpu")


def test_the_seed_of_a_step_is_of_that_step_and_process_alone() -> None:
    drawn = {}
    for key in ((0, 0, 64), (0, 1, 0), (0, 0, 0), (1, 0, 0), (0, 0, 1)):
        seed_step(*key)
        drawn[key] = float(torch.rand(1))
    assert len(set(drawn.values())) == len(drawn)
    seed_step(0, 1, 0)
    assert float(torch.rand(1)) == drawn[(0, 1, 0)]
