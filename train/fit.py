"""How a recognition model is trained: from pictures to a run folder, on the training kernel."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from partlab.config import deciding
from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError
from partlab.files import exclusive
from partlab.training.batches import Batches
from partlab.training.device import pick_device
from partlab.training.identity import refuse_another
from partlab.training.loop import Loop
from partlab.training.process import Group, Process
from partlab.training.runs import claim_run, read_config
from train.attacks.compiled import compiled_ascent
from train.attacks.free import replayed
from train.attacks.methods import State, methods, state_of
from train.averages import Average
from train.models.base import Recognizer
from train.models.build import build_model
from train.models.kinds import needs_parts
from train.optimizers import make_optimizer, rate
from train.pictures import Pictures
from train.runs import read_run, settings_of, write_run
from train.samples import TrainingPictures, collate
from train.sampling import epoch_plan
from train.settings import TrainConfig
from train.trainer import Trainer
from train.validation import Validation

log = logging.getLogger(__name__)


def fit(
    pictures: Pictures,
    val: Pictures | None,
    run: Path,
    config: TrainConfig,
    *,
    device: str | None = None,
    force: bool = False,
    inputs: Sequence[Path] = (),
    said: Mapping[str, Any] | None = None,
) -> None:
    """Train a model into `run`, or go on where a killed run stopped.

    With `force` an older run there is replaced, once this one is known to be possible; `inputs`
    are never cleared. `said` is noted in a new run's config.json, such as its recipe.

    Raises:
        OutputExistsError: `run` holds a run of other settings, other data or another number
            of processes, or something else.
        DatasetError: a picture cannot be read.
        ConfigError: the model cannot be made, or the settings do not fit the data.
        PartlabError: the loss stays infinite or NaN.
    """
    here = Process.current()
    with ExitStack() as held, here.joined() as group:
        pictures = asked(pictures, config)
        torch.manual_seed(config.train.seed)  # new layers start alike in every attempt
        network, _, place = checked(pictures, config, device)
        if here.leads:
            _tell_warmup(config)
        claim = partial(claim_run, run, force=force, inputs=inputs)
        group.lead(partial(_begin, held, pictures, val, run, config, said or {}, claim, force))
        _loop(network.to(place), pictures, val, run, config, group, place).train()


def asked(pictures: Pictures, config: TrainConfig) -> Pictures:
    """The pictures with the labels that `part.labels` and `part.human_share` want (P-08, A13).

    Raises:
        DatasetError: the model is to learn parts, and no picture shows one.
    """
    if config.part.labels == "human":
        pictures = pictures.without_pseudo()
    pictures = pictures.with_human_share(config.part.human_share)
    if needs_parts(config.model.kind) and not pictures.with_parts:
        raise DatasetError(
            f"no picture has a part mask to learn from: {pictures.summary}",
            hint="name data with masks (--data, --pseudo), or train without parts: --model vanilla",
        )
    return pictures


def checked(
    pictures: Pictures, config: TrainConfig, device: str | None
) -> tuple[Recognizer, int, torch.device]:
    """The new network, the steps of an epoch and the device; what cannot be trained is told.

    Nothing is written: a training that is refused leaves no run behind, and none is replaced.

    Raises:
        ConfigError: the model cannot be made, or the settings do not fit the data or machine.
        UnknownNameError: no such training method, or a mirrored part that there is not.
    """
    here = Process.current()
    methods.get(config.attack.method)
    rate(0, 1, config.train, epoch_steps=1, batch_total=1)
    pictures.parts.mirrored(config.data.mirror)
    place = pick_device(device or here.device())
    if config.train.compile:
        compiled_ascent(place.type)
    network = make_network(pictures, config)
    if config.train.batch_size < network.smallest_batch:
        raise ConfigError(
            f"a model of kind {config.model.kind!r} cannot learn from one picture at a time",
            hint=f"--set train.batch_size={network.smallest_batch} or more",
        )
    return network, len(plan_of(pictures, config, here, 0)), place


def _tell_warmup(config: TrainConfig) -> None:
    train, attack = config.train, config.attack
    if train.warmup_epochs >= train.epochs and not train.frozen_backbone:
        log.warning(
            "the learning rate only rises, since %s no more than the %g of its warm-up: "
            "--set train.warmup_epochs=%g",
            counted(train.epochs, "epoch is", "epochs are"),
            train.warmup_epochs,
            train.epochs / 4,
        )
    attacked = train.epochs - attack.clean_epochs
    if attack.method != "none" and attack.warmup_epochs >= attacked:
        log.warning(
            "the attack never comes to its full strength, since %s no more than "
            "the %d of its warm-up: --set attack.warmup_epochs=%d",
            counted(attacked, "epoch of it is", "epochs of it are"),
            attack.warmup_epochs,
            attacked // 2,
        )


def make_network(pictures: Pictures, config: TrainConfig) -> Recognizer:
    """The model that these settings and pictures ask for, with fresh new layers."""
    return build_model(
        config.model,
        pictures.classes,
        pictures.parts.names,
        targets=config.part.targets,
        size=config.data.size,
    )


def _begin(
    held: ExitStack,
    pictures: Pictures,
    val: Pictures | None,
    run: Path,
    config: TrainConfig,
    said: Mapping[str, Any],
    claim: Callable[[], None],
    force: bool,
) -> None:
    """Lock the run and make it, or see that it is the same."""
    if force or read_config(run) is None:
        claim()
    held.enter_context(exclusive(run))
    identity = {
        "config": deciding(config),
        "classes": list(pictures.classes),
        "parts": list(pictures.parts.names),
        "data": pictures.fingerprint,
        "val": val.fingerprint if val is not None else None,
        "processes": Process.current().world,
    }
    if read_config(run) is not None:
        old = read_run(run)
        settings = deciding(settings_of(old, run))
        refuse_another(run, {**old, "config": settings}, identity)
        return
    description = {
        **said,
        **identity,
        "config": config.model_dump(mode="json"),
        "inclusions": pictures.parts.inclusions,
        "pictures": pictures.summary,
        "torch": torch.__version__,
    }
    write_run(run, description)


def _loop(
    network: Recognizer,
    pictures: Pictures,
    val: Pictures | None,
    run: Path,
    config: TrainConfig,
    group: Group,
    device: torch.device,
) -> Loop:
    settings = config.train
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, settings)  # freezes what it leaves out
    model = group.parallel(network, one_norm=False)
    batches = _batches(network, pictures, config, group.process, pin=device.type == "cuda")
    state = state_of(config.attack)
    trainer = Trainer(
        network, model, config, device, batches.epoch_steps, len(pictures.parts), state
    )
    if settings.compile:
        trainer.ascent = compiled_ascent(device.type)
        trainer.model = torch.compile(model)  # type: ignore[assignment]
    average = Average(network, settings.ema) if settings.ema else None
    shown: Any = average.module if average else network
    together = settings.batch_size * group.process.world
    return Loop(
        run=run,
        config=settings,
        group=group,
        network=network,
        optimizer=optimizer,
        batches=batches,
        step=trainer.step,
        device=device,
        rate=partial(
            rate,
            config=settings,
            epoch_steps=batches.epoch_steps,
            batch_total=together,
            clean_epochs=config.attack.clean_epochs,
        ),
        validate=Validation(shown, val, trainer, group, run) if val is not None else None,
        after=partial(_after, average, state, network),
        kept={"average": average} if average else {},
        own={"attack": state} if state else {},
        weights=shown,
        facts=trainer.facts,
        pictures=together,
    )


def _after(average: Average | None, state: State | None, network: Recognizer, step: int) -> None:
    if average:
        average.update(network)
    if state:
        state.after(step)


def _batches(
    network: Recognizer, pictures: Pictures, config: TrainConfig, here: Process, *, pin: bool
) -> Batches:
    side = config.data.size // network.finest_stride
    shuffled = config.part.labels == "shuffled"
    data = TrainingPictures(pictures, config.data, side, config.train.seed, shuffled=shuffled)
    plan = partial(plan_of, pictures, config, here)
    return Batches(data, plan, collate, config.train.workers, pin)


def plan_of(pictures: Pictures, config: TrainConfig, here: Process, epoch: int) -> list[list[int]]:
    """The batches of positions that this process sees in an epoch.

    Raises:
        ConfigError: there are too few pictures for one batch.
    """
    batches = epoch_plan(
        pictures,
        config.data,
        config.train.batch_size,
        seed=config.train.seed,
        epoch=epoch,
        rank=here.rank,
        world=here.world,
    )
    return replayed(batches, config.attack.replays if config.attack.method == "free" else 1)
