"""Results that go out as JSON."""

from dataclasses import asdict
from typing import Any


class Facts:
    """Base of dataclasses whose fields are all there is to say."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]
