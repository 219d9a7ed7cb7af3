"""What a recognition model makes of a picture: classes, parts, features, and under attack."""

import asyncio
import base64
from io import BytesIO
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image as PillowImage
from pydantic import Field

from app.serve.answers import (
    ATTACK_EXAMPLE,
    CLASSIFY_EXAMPLE,
    AttackAnswer,
    ClassifyAnswer,
    EmbedAnswer,
    ExplainAnswer,
    described,
)
from app.serve.calls import answered
from app.serve.edge import Call
from app.serve.errors import RefusalError, parameters
from app.serve.state import State, admit
from partlab.config import Config
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from segmenter.protocol import Pixels

router = APIRouter(tags=["recognition models"])


class _Ask(Config):
    model: str | None = None
    as_seen: bool = False


class ClassifyAsk(_Ask):
    """How many of the likeliest classes are told.

    `as_seen`: the picture is one that the server gave back, already cut as the network sees it.
    """

    top: int = Field(5, ge=1, le=10_000)


class ExplainAsk(ClassifyAsk):
    """As for the classes, of a model with part outputs."""


class EmbedAsk(_Ask):
    """Of which model; `as_seen` as for the classes."""


class AttackAsk(_Ask):
    """PGD in a ball about the picture, or a common corruption.

    `label` is the class to be driven away from; the model's own answer unless given. `eps` is in
    colours of 0…1. `exact` also gives the point before its colours were rounded to whole numbers.
    `as_seen` as for the classes.
    """

    attack: Literal["pgd", "corruption"] = "pgd"
    label: str | None = None
    norm: Literal["linf", "l2"] = "linf"
    eps: float = Field(4 / 255, ge=0, le=100)
    steps: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, lt=1 << 32)
    corruption: str = "fog"
    severity: int = Field(3, ge=1, le=5)
    top: int = Field(5, ge=1, le=10_000)
    exact: bool = False


@router.post(
    "/v1/classify",
    dependencies=[admit("read")],
    response_model=ClassifyAnswer,
    openapi_extra=described(ClassifyAsk, CLASSIFY_EXAMPLE),
)
async def classify(request: Request) -> Response:
    """The likeliest classes of a picture."""
    return await answered(request, ClassifyAsk, _classify)


@router.post(
    "/v1/explain",
    dependencies=[admit("read")],
    response_model=ExplainAnswer,
    openapi_extra=described(ExplainAsk, CLASSIFY_EXAMPLE),
)
async def explain(request: Request) -> Response:
    """Where a model with part outputs sees parts, at each of its resolutions."""
    return await answered(request, ExplainAsk, _explain)


@router.post(
    "/v1/embed",
    dependencies=[admit("read")],
    response_model=EmbedAnswer,
    openapi_extra=described(EmbedAsk, {"image": CLASSIFY_EXAMPLE["image"]}),
)
async def embed(request: Request) -> Response:
    """What the classifier reads of a picture: to compare pictures with one another."""
    return await answered(request, EmbedAsk, _embed)


@router.post(
    "/v1/attack",
    dependencies=[admit("attack")],
    response_model=AttackAnswer,
    openapi_extra=described(AttackAsk, ATTACK_EXAMPLE),
)
async def attack(request: Request) -> Response:
    """The same under attack, with the attacked picture in every pixel."""
    return await answered(request, AttackAsk, _attack)


def _model(state: State, call: Call, name: str | None) -> Any:
    model = state.models.find(name, "recognition")
    call.model = f"{model.name}@{model.version}"
    return model


def _seen(model: Any, pixels: Pixels, ask: _Ask) -> Pixels:
    if not ask.as_seen:
        found: Pixels = model.seen(pixels)
        return found
    side = model.opened.data.size
    if pixels.shape != (side, side, 3):
        height, width = pixels.shape[:2]
        raise ConfigError(
            f"the picture has {width} x {height} pixels; {model.name} sees {side} x {side}",
            hint="leave as_seen out, or send a picture that this model's answers gave",
        )
    return pixels


async def _classify(state: State, call: Call, pixels: Pixels, ask: ClassifyAsk) -> dict[str, Any]:
    model = _model(state, call, ask.model)
    seen = await state.aside(_seen, model, pixels, ask)
    found = await asyncio.wrap_future(model.classify(seen))
    return {"model": _named(model), "classes": _likeliest(model, found, ask.top)}


async def _explain(state: State, call: Call, pixels: Pixels, ask: ExplainAsk) -> dict[str, Any]:
    model = _model(state, call, ask.model)
    if not model.part_names:
        raise NotFoundError(
            f"the model {model.name} has no part outputs",
            hint="serve a run with them, such as one of kind mpm, not its exported backbone",
        )
    seen = await state.aside(_seen, model, pixels, ask)
    found = await asyncio.wrap_future(model.explain(seen))
    return {
        "model": _named(model),
        "classes": _likeliest(model, found.probabilities, ask.top),
        "names": model.part_names,
        "clean_png": await state.aside(_png, seen),
        "maps": [await state.aside(_cells, each) for each in found.cells],
    }


def _cells(cells: Any) -> dict[str, Any]:
    height, width = cells.shape
    return {"height": height, "width": width, "png": _png(cells)}


async def _embed(state: State, call: Call, pixels: Pixels, ask: EmbedAsk) -> dict[str, Any]:
    model = _model(state, call, ask.model)
    seen = await state.aside(_seen, model, pixels, ask)
    found = await asyncio.wrap_future(model.embed(seen))
    return {"model": _named(model), "vector": [float(value) for value in found]}


async def _attack(state: State, call: Call, pixels: Pixels, ask: AttackAsk) -> dict[str, Any]:
    model = _model(state, call, ask.model)
    seen = await state.aside(_seen, model, pixels, ask)
    clean = await asyncio.wrap_future(model.classify(seen))
    label = _label(model, ask.label, clean)
    if ask.attack == "pgd":
        found, exact, how = await _pgd(state, model, seen, label, ask)
    else:
        found, exact, how = await _corrupted(state, seen, ask)
    after = await asyncio.wrap_future(model.classify(found))
    return {
        "model": _named(model),
        "how": how,
        "label": model.classes[label],
        "clean": _likeliest(model, clean, ask.top),
        "attacked": _likeliest(model, after, ask.top),
        "fooled": int(after.argmax()) != label,
        "clean_png": await state.aside(_png, seen),
        "png": await state.aside(_png, found),
        "largest_change": int(np.abs(found.astype(int) - seen).max(initial=0)),
        "exact_npy": _npy(exact) if ask.exact and exact is not None else None,
    }


async def _pgd(state: State, model: Any, seen: Pixels, label: int, ask: AttackAsk) -> Any:
    from app.serve.recognition import Pgd
    from train.attacks.ball import Ball

    most = state.settings.attack_steps
    if ask.steps > most:
        raise ConfigError(f"{ask.steps} steps are more than this server takes, {most}")
    if model.attacker is None:
        raise RefusalError(403, "this server attacks nothing", hint="it was started so")
    how = Pgd(label, Ball(ask.norm, ask.eps), ask.steps, ask.seed)
    found = await asyncio.wrap_future(model.attack(seen, how))
    told = {"attack": "pgd", "norm": ask.norm, "eps": ask.eps, "steps": ask.steps}
    return found.seen, found.exact, {**told, "seed": ask.seed, "first_error": found.steps}


async def _corrupted(state: State, seen: Pixels, ask: AttackAsk) -> Any:
    from app.serve.recognition import corrupted

    with parameters():
        found = await state.aside(corrupted, seen, ask.corruption, ask.severity, ask.seed)
    told = {"attack": "corruption", "corruption": ask.corruption, "severity": ask.severity}
    return found, None, {**told, "seed": ask.seed}


def _label(model: Any, name: str | None, clean: Any) -> int:
    if name is None:
        return int(clean.argmax())
    if name not in model.classes:
        with parameters():
            raise UnknownNameError("class", name, model.classes)
    return int(model.classes.index(name))


def _named(model: Any) -> dict[str, str]:
    return {"name": model.name, "version": model.version}


def _likeliest(model: Any, found: Any, top: int) -> list[dict[str, Any]]:
    order = np.argsort(-found, kind="stable")[:top].tolist()
    return [{"name": model.classes[i], "probability": float(found[i])} for i in order]


def _png(pixels: Pixels) -> str:
    held = BytesIO()
    PillowImage.fromarray(pixels).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def _npy(values: Any) -> str:
    held = BytesIO()
    np.save(held, values, allow_pickle=False)
    return base64.b64encode(held.getvalue()).decode()
