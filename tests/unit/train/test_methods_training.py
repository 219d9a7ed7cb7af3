"""Every training method beside a plain reference implementation of its paper's."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attack_networks import Gradients, pictures, state_of_everything, tiny
from torch import nn
from torch.nn import functional as F

from partlab.errors import ConfigError, UnknownNameError
from train.attacks.awp import weight_steps
from train.attacks.ball import Ball
from train.attacks.free import FreeState, replayed
from train.attacks.methods import losses, method_at, method_name, methods, state_of
from train.attacks.modes import as_evaluated
from train.attacks.nfgsm import noisy_step
from train.attacks.situation import Situation
from train.settings import AttackConfig

ALL = ["awp", "free", "nfgsm", "none", "pgd", "trades"]
EPS = 8 / 255


def situation(network, images, classes, *, model=None, state=None, progress=0.0, part=True, **set_):
    """With a class loss and, unless switched off, a part loss that is easily told apart."""
    config = AttackConfig(**{"eps": EPS, **set_})

    def objective(outputs):
        found = {"class": F.cross_entropy(outputs.logits, classes, label_smoothing=0.1)}
        return {**found, "part": outputs.parts[0].square().mean()} if part else found

    state = state if state is not None else state_of(config)
    model = model if model is not None else network
    return Situation(network, model, images, classes, config, progress, 0.1, objective, state=state)


def smoothed(logits, classes):
    """Cross-entropy with smoothing .1, written out."""
    target = torch.full_like(logits, 0.1 / logits.shape[1])
    target[torch.arange(len(classes)), classes] += 0.9
    return -(target * logits.log_softmax(1)).sum(1)


def gradients(network, found):
    network.zero_grad()
    sum(found.values()).backward()
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


def reference_pgd(network, images, loss, start, config):
    """Sign steps of 2 ε / t in evaluation mode."""
    x = start
    with as_evaluated(network):
        for _ in range(config.steps):
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(loss(network(x)).mean(), x)
            x = x.detach() + 2 * config.eps / config.steps * g.sign()
            x = (images + (x - images).clamp(-config.eps, config.eps)).clamp(0, 1)
    return x.detach()


# The registry


def test_methods_are_listed_without_torch() -> None:
    code = (
        "import sys; from train.attacks.methods import methods; "
        "print(methods.names(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{ALL} False"


def test_an_unknown_method_is_told_at_once() -> None:
    config = AttackConfig(method="pdg", clean_epochs=5)
    with pytest.raises(UnknownNameError, match="training method 'pdg'") as told:
        method_at(config, 0)
    assert "pgd" in told.value.hint


def test_standard_then_adversarial() -> None:
    """T-07: no attack until the clean epochs are done."""
    config = AttackConfig(method="trades", clean_epochs=3)
    assert [method_name(config, at) for at in (0, 2.99, 3, 9)] == ["none", "none"] + ["trades"] * 2
    network, (images, classes) = tiny(), pictures()
    with Gradients() as seen:
        early = situation(network, images, classes, clean_epochs=1, progress=0.5)
        assert losses(early).keys() == {"class", "part"}
    assert seen.convolutions == 0


@pytest.mark.parametrize("name", ALL)
def test_every_method_leaves_the_network_ready_to_learn(name) -> None:
    network, (images, classes) = tiny(), pictures()
    before = state_of_everything(network)
    torch.manual_seed(0)
    found = losses(situation(network, images, classes, method=name))
    after = state_of_everything(network)
    assert {"class", "part"} <= found.keys()
    assert all(value.ndim == 0 and value.requires_grad for value in found.values())
    assert (after["modes"], after["wanted"]) == (before["modes"], before["wanted"])
    assert all(grad is None for grad in after["grads"])
    assert all(torch.equal(p, before["weights"][n]) for n, p in network.named_parameters())
    moved = int(after["weights"]["body.1.num_batches_tracked"])
    assert moved == (2 if name == "trades" else 1)  # passes in training mode that count
    got = gradients(network, found)
    assert got.keys() == {n for n, _ in network.named_parameters()}


@pytest.mark.parametrize("name", ALL)
def test_parts_do_not_reach_the_attack(name) -> None:
    """L-04: part layers are called by the training pass alone, and change nothing before it."""
    network, (images, classes) = tiny(), pictures()
    calls = []
    network.part_head.register_forward_hook(lambda module, *_: calls.append(module.training))
    trained = []
    network.register_forward_pre_hook(lambda module, args: trained.append(args[0]))
    losses(situation(network, images, classes, method=name))
    assert calls == [True]
    seen = []
    for scale in (1.0, 50.0):  # another part loss, the same images
        other = tiny()
        with torch.no_grad():
            other.part_head.weight.mul_(scale)
        given = []
        other.register_forward_pre_hook(lambda module, args, given=given: given.append(args[0]))
        torch.manual_seed(1)
        state = FreeState(AttackConfig(eps=EPS)) if name == "free" else None
        step = situation(other, images, classes, method=name, state=state)
        gradients(other, losses(step))
        if state is not None:
            state.after(0)
            losses(step)
        seen.append(given[-1].detach())
    assert torch.equal(*seen)
    assert (seen[0] != images).any() == (name != "none")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("norm", [{"norm": "linf"}, {"norm": "l2", "eps": 0.5}], ids=str)
def test_every_method_in_bf16_with_either_norm(name, norm) -> None:
    network, (images, classes) = tiny(), pictures()
    state = state_of(AttackConfig(method=name, **norm))
    for step in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            found = losses(situation(network, images, classes, method=name, state=state, **norm))
        got = gradients(network, found)
        assert len(got) == len(list(network.parameters()))
        assert all(g.isfinite().all() for g in got.values())
        if state is not None:
            state.after(step)


@pytest.mark.parametrize("name", ALL)
def test_one_image_and_eps_0(name) -> None:
    network, (images, classes) = tiny(), pictures(2)
    found = losses(situation(network, images, classes, method=name, eps=0))
    clean = losses(situation(tiny(), images, classes, method="none"))
    if name != "awp":  # weights still move
        torch.testing.assert_close(found["class"], clean["class"], rtol=1e-4, atol=1e-5)
    network.eval()  # BatchNorm cannot train on what a 1 x 1 map of one image is
    losses(situation(network, images[:1], classes[:1], method=name))


# Each beside its paper


def test_none_is_the_objective_on_the_images() -> None:
    network, (images, classes) = tiny(), pictures()
    other = copy.deepcopy(network)
    got = gradients(network, losses(situation(network, images, classes, method="none")))
    out = other(images, parts=True)
    wanted = {"c": smoothed(out.logits, classes).mean(), "p": out.parts[0].square().mean()}
    torch.testing.assert_close(got, gradients(other, wanted))


def test_pgd_trains_on_attacked_images_alone() -> None:
    network, (images, classes) = tiny(), pictures()
    other, step = copy.deepcopy(network), situation(network, images, classes, method="pgd")
    torch.manual_seed(2)
    got = gradients(network, losses(step))
    torch.manual_seed(2)
    start = Ball("linf", EPS).start(images)
    moved = reference_pgd(other, images, lambda z: smoothed(z, classes), start, step.config)
    out = other(moved, parts=True)
    wanted = {"c": smoothed(out.logits, classes).mean(), "p": out.parts[0].square().mean()}
    torch.testing.assert_close(got, gradients(other, wanted))


@pytest.mark.parametrize("random_start", [True, False])
def test_trades_is_the_papers(random_start) -> None:
    """Zhang et al.: KLDivLoss between log-softmax of the attacked and softmax of the natural.

    In float64: so near the image the slope's signs are a matter of rounding.
    """
    network, (images, classes) = tiny().double(), pictures()
    images, other = images.double(), copy.deepcopy(network)
    settings = {"method": "trades", "beta": 3.0, "steps": 3, "random_start": random_start}
    step = situation(network, images, classes, **settings)
    torch.manual_seed(2)
    got = gradients(network, losses(step))

    torch.manual_seed(2)
    kl = nn.KLDivLoss(reduction="sum")
    start = Ball("linf", EPS).start(images) if random_start else None
    if start is None:
        start = (images + 0.001 * torch.randn_like(images)).clamp(0, 1)
    with as_evaluated(other):
        natural = F.softmax(other(images), 1).detach()
    moved = reference_pgd(
        other, images, lambda z: kl(F.log_softmax(z, 1), natural), start, step.config
    )
    out = other(images, parts=True)
    robust = kl(F.log_softmax(other(moved), 1), F.softmax(out.logits, 1)) / len(images)
    wanted = {"c": smoothed(out.logits, classes).mean(), "p": out.parts[0].square().mean()}
    torch.testing.assert_close(got, gradients(other, {**wanted, "r": 3.0 * robust}))


def reference_awp(network, moved, classes, share):
    """Wu et al.: a proxy takes a step of SGD; its change is scaled to the weight's norm."""
    proxy = copy.deepcopy(network).train()
    optimizer = torch.optim.SGD(proxy.parameters(), lr=0.01)
    (-smoothed(proxy(moved), classes).mean()).backward()
    optimizer.step()
    changes = {}
    for (name, old), new in zip(network.named_parameters(), proxy.parameters(), strict=True):
        if old.ndim > 1 and new.grad is not None:
            change = (new - old).detach()
            changes[name] = share * old.norm().detach() / (change.norm() + 1e-20) * change
    return changes


def test_awp_is_the_papers() -> None:
    """Perturb, differentiate there, restore."""
    network, (images, classes) = tiny(), pictures()
    other = copy.deepcopy(network)
    step = situation(network, images, classes, method="awp", weight_eps=0.1)
    torch.manual_seed(2)
    got = gradients(network, losses(step))
    torch.manual_seed(2)
    start = Ball("linf", EPS).start(images)
    moved = reference_pgd(other, images, lambda z: smoothed(z, classes), start, step.config)
    changes = reference_awp(other, moved, classes, 0.1)
    assert changes.keys() == {"body.0.weight", "body.3.weight", "head.weight"}
    with torch.no_grad():
        for name, change in changes.items():
            other.get_parameter(name).add_(change)
    out = other(moved, parts=True)
    wanted = {"c": smoothed(out.logits, classes).mean(), "p": out.parts[0].square().mean()}
    # the paper's proxy gets its step by subtracting weights, which rounds
    torch.testing.assert_close(got, gradients(other, wanted), rtol=2e-3, atol=2e-4)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, other.get_buffer(name), rtol=1e-3, atol=1e-4)


def test_awp_raises_the_loss_and_frozen_weights_stay() -> None:
    network, (images, classes) = tiny(), pictures()
    network.body[0].weight.requires_grad_(False)
    step = situation(network, images, classes, weight_eps=0.05)
    found = weight_steps(step, images)
    assert {p.shape for p in found} == {network.body[3].weight.shape, network.head.weight.shape}
    for p, change in found.items():
        assert float(change.norm() / p.detach().norm()) == pytest.approx(0.05, rel=1e-4)
    before = step.class_loss(network(images)).mean()
    with torch.no_grad():
        for p, change in found.items():
            p.add_(change)
    assert step.class_loss(network(images)).mean() > before


def test_nfgsm_is_the_papers() -> None:
    """de Jorge et al.: noise in ±kε, one step of ε, no projection."""
    network, (images, classes) = tiny(), pictures()
    step = situation(network, images, classes, method="nfgsm", noise=2.0)
    torch.manual_seed(2)
    found = noisy_step(step)
    torch.manual_seed(2)
    noise = torch.empty_like(images).uniform_(-2 * EPS, 2 * EPS)
    noise = (images + noise).clamp(0, 1) - images
    noise.requires_grad_()
    with as_evaluated(network):
        smoothed(network(images + noise), classes).mean().backward()
    wanted = (images + noise + EPS * noise.grad.sign()).clamp(0, 1).detach()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    away = Ball("linf", EPS).distance(found, images)
    assert (away > 2 * EPS).all()  # beyond the ball,
    assert (away <= 3 * EPS + 1e-6).all()  # as far as noise and step go
    assert noisy_step(situation(network, images, classes, warmup_epochs=2)).shape == images.shape


def reference_free(network, batches, lr, replays):
    """Shafahi et al.: weights down and noise up with one gradient."""
    noise = torch.zeros_like(batches[0][0])
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for images, classes in batches:
        for _ in range(replays):
            leaf = noise.clone().requires_grad_()
            out = network((images + leaf).clamp(0, 1), parts=True)
            optimizer.zero_grad()
            smoothed(out.logits, classes).mean().backward()
            noise = (noise + EPS * leaf.grad.sign()).clamp(-EPS, EPS)
            optimizer.step()
    return noise


def free_training(network, batches, lr, *, state, part, steps=range(99)):
    """As the loop does it: losses, backward, optimiser, `after`."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    plan = replayed(batches, 3)
    for number in range(len(plan))[steps.start : steps.stop]:
        images, classes = plan[number]
        found = losses(situation(network, images, classes, method="free", state=state, part=part))
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        state.after(number)


def test_free_is_the_papers() -> None:
    network = tiny()
    other, state = copy.deepcopy(network), FreeState(AttackConfig(eps=EPS))
    batches = [pictures(seed=seed) for seed in (1, 2)]
    free_training(network, batches, 0.05, state=state, part=False)
    noise = reference_free(other, batches, 0.05, 3)
    torch.testing.assert_close(state.noise, noise)
    torch.testing.assert_close(network.state_dict(), other.state_dict())
    assert float(noise.abs().max()) == pytest.approx(EPS)


def test_with_a_part_loss_frees_noise_still_follows_the_class() -> None:
    """L-04: with a learning rate of 0 the same noise as without the part loss."""
    batches, states = [pictures()], []
    for part in (False, True):
        states.append(FreeState(AttackConfig(eps=EPS)))
        free_training(tiny(), batches, 0.0, state=states[-1], part=part)
    assert torch.equal(states[0].noise, states[1].noise)


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_free_goes_on_exactly_after_a_resume(stop, tmp_path) -> None:
    batches = [pictures(seed=seed) for seed in (1, 2)]
    whole, state = tiny(), FreeState(AttackConfig(eps=EPS))
    free_training(whole, batches, 0.05, state=state, part=True)
    network, early = tiny(), FreeState(AttackConfig(eps=EPS))
    free_training(network, batches, 0.05, state=early, part=True, steps=range(stop))
    torch.save([network.state_dict(), early.state_dict()], tmp_path / "state.pt")
    weights, kept = torch.load(tmp_path / "state.pt", weights_only=True)
    again, late = tiny(3), FreeState(AttackConfig(eps=EPS))
    again.load_state_dict(weights)
    late.load_state_dict(kept)
    free_training(again, batches, 0.05, state=late, part=True, steps=range(stop, 99))
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert torch.equal(late.noise, state.noise)


def test_a_step_that_was_left_out_moves_no_noise() -> None:
    network, (images, classes) = tiny(), pictures()
    state = FreeState(AttackConfig(eps=EPS))
    step = situation(network, images, classes, method="free", state=state)
    gradients(network, losses(step))  # its `after` is not called: the gradient was not finite
    gradients(network, losses(step))
    state.after(1)
    moved = state.noise.abs()
    assert torch.equal(moved > 0, torch.isclose(moved, torch.tensor(EPS)))
    before = state.noise
    state.after(2)
    assert state.noise is before
    few = situation(network, images[:2], classes[:2], method="free", state=state)
    assert losses(few).keys() == {"class", "part"}  # another size: it begins anew


def test_free_says_that_it_needs_its_state() -> None:
    network, (images, classes) = tiny(), pictures()
    step = situation(network, images, classes, method="free", state="none")
    with pytest.raises(ConfigError, match="keeps its perturbation") as told:
        methods.get("free")(step)
    assert "state_of" in told.value.hint
    assert state_of(AttackConfig(method="pgd")) is None


# Several processes

WORK = """
import copy, sys, torch
sys.path[:0] = sys.argv[1:]
from attack_networks import pictures, tiny
from partlab.training.process import Process
from test_methods_training import gradients, losses, situation, state_of

torch.set_num_threads(1)
with Process.current().joined() as group:
    rank = group.process.rank
    for name in ("pgd", "trades", "awp", "nfgsm", "free"):
        network = tiny()
        model = group.parallel(network, one_norm=False)
        images, classes = pictures(seed=rank)
        torch.manual_seed(rank)
        step = situation(network, images, classes, model=model, method=name)
        got = gradients(network, losses(step))
        alone = []
        for other in range(group.process.world):
            images, classes = pictures(seed=other)
            torch.manual_seed(other)
            single = tiny()
            torch.manual_seed(other)
            alone.append(gradients(single, losses(situation(single, images, classes, method=name))))
        for key, value in got.items():
            mean = torch.stack([each[key] for each in alone]).mean(0)
            torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-5)
        assert got.keys() == alone[0].keys()
        sys.stdout.write(f"{rank} {name}\\n")  # in one piece: both write to one pipe
        sys.stdout.flush()
"""


def test_two_processes_get_the_mean_of_their_gradients(tmp_path: Path) -> None:
    """Through the wrapper every method's gradients arrive and are shared, AWP's too."""
    script = tmp_path / "work.py"
    script.write_text(WORK)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2] / "plugins")]
    command = [*launch, "--master-port", "29671", str(script), *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    names = ("pgd", "trades", "awp", "nfgsm", "free")
    assert sorted(done.stdout.split("\n")[:-1]) == sorted(f"{r} {n}" for r in (0, 1) for n in names)
