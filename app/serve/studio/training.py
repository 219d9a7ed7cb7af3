"""Training that Label Studio asks for, with its button or by its API."""

import logging
from typing import Any

from annotate.studio.spelling.mark import mark_of

log = logging.getLogger(__name__)


def training_asked(project: dict[str, Any]) -> None:
    """`START_TRAINING` of a project, as Label Studio describes it.

    Training takes what inspectors have accepted, which the work's folder knows and this server does
    not: the lead begins it.
    """
    facts = mark_of(project)
    whose = f"{facts['object']} round {facts['round']}" if {"object", "round"} <= set(facts) else ""
    log.warning(
        "training was asked for in project %s%s: a lead begins it, with the work's folder",
        project.get("id"), f" ({whose})" if whose else "",
    )  # fmt: skip
