"""The empty, migrated database that every new server starts from."""

import logging
import os
import shutil
import subprocess
from pathlib import Path

from annotate.studio.server.environment import VERSION, python_of
from annotate.studio.server.process import last_line, quiet_variables, run_label_studio
from partlab.errors import NotFoundError, StudioError
from partlab.files import cache_folder, copy_file, exclusive

log = logging.getLogger(__name__)

DATABASE = "label_studio.sqlite3"


PATIENCE = 900.0
"""Seconds that making it may take, on a slow disk; as long another run is waited for."""

_WAITING = "another run makes Label Studio's first database: waiting for it (about a minute)"


def default_template(env: Path) -> Path:
    """A folder with a migrated database without users, made once for each version (1 minute).

    Where another process makes it, that one is waited for.

    Raises:
        BusyError: the other one takes longer than a quarter of an hour.
        StudioError: Label Studio could not make it.
    """
    folder = cache_folder() / f"label-studio-{VERSION}-template"
    if not (folder / DATABASE).is_file():
        making = folder.with_name(f"{folder.name}.making")
        with exclusive(making, patience=PATIENCE, told=_WAITING):
            if not (folder / DATABASE).is_file():
                make_template(env, folder)
    return folder


def make_template(env: Path, folder: Path, patience: float = PATIENCE) -> None:
    """Make a migrated database in `folder`, which appears only when it is whole.

    Raises:
        StudioError: Label Studio could not make it; the message has its last line.
    """
    log.info("making an empty database of Label Studio, once (about a minute)")
    scratch = folder.with_name(f"{folder.name}.making") / "data"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    journal = scratch / "log.txt"
    # Not `--version`, which would go on to start a server.
    with run_label_studio(env, ["version"], quiet_variables(scratch), journal) as child:
        try:
            code = child.wait(patience)
        except subprocess.TimeoutExpired:
            code = -1
    if code or not (scratch / DATABASE).is_file():
        raise StudioError(
            f"Label Studio could not make its database: {last_line(journal)}",
            hint=f"run `{python_of(env)} -m label_studio.server version` to see why",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(scratch / DATABASE, folder / DATABASE)
    shutil.rmtree(scratch)


def need_database(template: Path) -> None:
    """See that a template holds a database.

    Raises:
        NotFoundError: it does not.
    """
    if not (template / DATABASE).is_file():
        raise NotFoundError(
            f"no {DATABASE} in {template}",
            hint="--template is a folder with a migrated database; leave it out to have one made",
        )


def copy_template(data: Path, template: Path) -> None:
    """Copy the database alone: every server signs with a secret key of its own."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy_file(template / DATABASE, data / DATABASE)
