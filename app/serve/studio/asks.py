"""What Label Studio 1.23 sends to an ML backend; what it sends besides is passed over."""

from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from app.serve.errors import RefusalError

M = TypeVar("M", bound=BaseModel)


class Setup(BaseModel):
    """`POST /setup`: before every batch, and whenever the project's page is opened."""

    project: str
    hostname: str = ""
    access_token: str = Field("", repr=False)


class Task(BaseModel):
    """One task; `data` is what was imported."""

    id: int
    data: dict[str, Any] = Field(default_factory=dict)


class _Params(BaseModel):
    context: Any = None


class Predict(BaseModel):
    """`POST /predict`: several tasks, or one with what an annotator asks of it."""

    tasks: list[Task]
    project: str = ""
    interface: str = Field("", alias="label_config")
    params: _Params | None = None

    @property
    def context(self) -> Any:
        """What is asked; None for suggestions."""
        return self.params.context if self.params else None


class Event(BaseModel):
    """`POST /webhook`: something happened in a project, or training is asked for."""

    action: str = ""
    project: dict[str, Any] = Field(default_factory=dict)


def understood(kind: type[M], body: Any) -> M:
    """A body as one of these.

    Raises:
        RefusalError: 422, Label Studio does not send such a thing.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusalError(
            422,
            f"this is not what Label Studio sends: {where}: {first['msg']}",
            hint="this address is for a Label Studio of version 1.23; programs use /v1/segment",
        ) from None
