"""From a request to a picture and parameters, and from work to an answer.

A picture comes as the body itself, with parameters in the address, or in base64 with them in JSON:

    curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'URL/v1/segment?object=cat'
    {"image": "…", "object": "cat", "threshold": [0.3, 0.5]}
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_origin

import orjson
from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect

from app.serve.edge import GONE, Call, call_of
from app.serve.encoded import base64_picture
from app.serve.errors import RefusalError
from app.serve.state import State, state_of
from partlab.config import Config, validate
from partlab.images import TooLargeError, image_size, load_image
from segmenter.protocol import Pixels

C = TypeVar("C", bound=Config)
Work = Callable[[State, Call, Pixels, Any], Awaitable[dict[str, Any]]]
DEADLINE = "x-deadline-seconds"
REPEAT = "idempotency-key"
_JSON = "application/json"
_KEY_LENGTH = 200


async def answered(request: Request, kind: type[Config], work: Work) -> Response:
    """Read a request of this kind, do the work on its picture, and answer in JSON.

    Work stops when the client goes away or the deadline passes; the answer to a request with an
    idempotency key is kept for who repeats it.
    """
    state, call = state_of(request), call_of(request)
    seconds = _deadline(request, state.settings.deadline_s)
    data, ask = await read_call(request, kind)
    key, asked = request.headers.get(REPEAT, ""), _hash(request.url.path, data, ask)
    if len(key) > _KEY_LENGTH:
        raise RefusalError(422, f"the idempotency key has more than {_KEY_LENGTH} letters")
    if key and (known := state.repeats.find(call.client, key, asked)) is not None:
        return Response(known, media_type=_JSON, headers={"Idempotency-Replayed": "true"})

    async def whole() -> bytes:
        pixels = await state.aside(decoded, data, state.settings.picture_pixels)
        found = await work(state, call, pixels, ask)
        return await state.aside(orjson.dumps, found)

    answer = await while_there(request, whole(), seconds)
    if key:
        state.repeats.keep(call.client, key, asked, answer)
    return Response(answer, media_type=_JSON)


def _hash(path: str, data: bytes, ask: Config) -> str:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape") + b"\0")
    digest.update(ask.model_dump_json().encode() + b"\0")
    digest.update(data)
    return digest.hexdigest()


def _deadline(request: Request, most: float) -> float:
    sent = request.headers.get(DEADLINE)
    if sent is None:
        return most
    try:
        seconds = float(sent)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RefusalError(422, f"the header {DEADLINE} is no number of seconds", hint="such as 10")
    return min(seconds, most)


async def while_there(request: Request, work: Awaitable[bytes], seconds: float) -> bytes:
    """The result of `work`, unless the client goes away or the time is up: then it is cancelled.

    Raises:
        RefusalError: 504, the time is up; 499, which nobody hears.
    """
    doing, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        done, _ = await asyncio.wait(
            {doing, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if doing in done:
            return doing.result()
        if gone in done:
            raise RefusalError(GONE, "the client went away")
        raise RefusalError(
            504,
            f"no answer within {seconds:g} s",
            hint=f"ask again when less is going on, or with more time in the header {DEADLINE}",
        )
    finally:
        for each in (doing, gone):
            each.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read_call(request: Request, kind: type[C]) -> tuple[bytes, C]:
    """The bytes of the picture and the parameters.

    Raises:
        RefusalError: another content type, no picture, no base64, parameters in two places.
        ConfigError: a parameter is unknown or of no use.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content == _JSON:
        values = await read_json_body(request)
        if request.query_params:
            raise RefusalError(
                422, "parameters stand in the address and the picture in JSON",
                hint="put the parameters into the JSON, beside the picture",
            )  # fmt: skip
        return base64_picture(values.pop("image", None)), validate(kind, values, "the request")
    if not content.startswith("image/") and content != "application/octet-stream":
        raise RefusalError(
            415,
            f"a body of type {content or 'unknown'} is not read here",
            hint="send the picture itself with Content-Type: image/jpeg, image/png, …, or JSON "
            'with the picture in base64: {"image": "…"}',
        )
    ask = validate(kind, from_query(request.query_params, kind), "the address")
    data = await body_of(request)
    if not data:
        raise RefusalError(422, "the request has no picture", hint="send one as its body")
    return data, ask


async def body_of(request: Request) -> bytes:
    """The whole body.

    Raises:
        RefusalError: the client went away while sending it.
    """
    try:
        return await request.body()
    except ClientDisconnect:
        raise RefusalError(GONE, "the client went away") from None


async def read_json_body(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        RefusalError: it is none.
    """
    try:
        values = orjson.loads(await body_of(request))
    except orjson.JSONDecodeError as error:
        raise RefusalError(
            422, f"the body is no JSON: {error}", hint="NaN and Infinity are no JSON either"
        ) from None
    if not isinstance(values, dict):
        raise RefusalError(422, "the body is no JSON object", hint='such as {"image": "…"}')
    return values


def from_query(sent: QueryParams, kind: type[Config]) -> dict[str, Any]:
    """Values of an address by name; what may have several values may be repeated.

    Raises:
        RefusalError: another parameter is given twice.
    """
    values: dict[str, Any] = {}
    for name in dict.fromkeys(sent.keys()):
        each = sent.getlist(name)
        field = kind.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is tuple:
            values[name] = each
        elif len(each) > 1:
            raise RefusalError(422, f"the parameter {name!r} is given {len(each)} times")
        else:
            values[name] = each[0]
    return values


def decoded(data: bytes, most: int) -> Pixels:
    """(height, width, 3) as `load_image`; the header is asked first, so that a bomb stays shut.

    Raises:
        TooLargeError: more pixels than this server looks at.
        DatasetError: damaged, or no picture.
    """
    width, height = image_size(data)
    pixels = width * height
    if pixels > most:
        raise TooLargeError(
            f"the picture has {pixels:,} pixels, and this server takes up to {most:,}",
            hint="make it smaller, or have the server started with more --set picture_pixels=…",
        )
    return load_image(data)
