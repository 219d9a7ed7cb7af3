"""Pictures that come as text."""

import base64
from typing import Any

from app.serve.errors import RefusalError


def base64_picture(text: Any) -> bytes:
    """The bytes of a picture in base64, with or without `data:image/…;base64,` before it."""
    if not isinstance(text, str) or not text:
        raise RefusalError(422, "the request has no picture", hint='{"image": "<base64>"}')
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RefusalError(422, f"the picture is not in base64: {error}") from None
