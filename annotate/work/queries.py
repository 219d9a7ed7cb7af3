"""Questions about answers: those to honeypots are left out unless they are asked for."""

from typing import Any

from sqlalchemy import Select, exists, select

from annotate.work.tables import HONEYPOT, Answer, Task

_IS_HONEYPOT = exists().where(
    Task.object == Answer.object,
    Task.round == Answer.round,
    Task.image_id == Answer.image_id,
    Task.role == HONEYPOT,
)


def select_answers(*what: Any, with_honeypots: bool = False) -> Select[Any]:
    """Select answers to pictures of the work, or columns of theirs."""
    query = select(*(what or (Answer,)))
    return query if with_honeypots else query.where(~_IS_HONEYPOT)
