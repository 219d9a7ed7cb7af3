"""Dockerfile and compose file: they parse, and what they name is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from annotate.studio.server.environment import VERSION
from annotate.studio.server.start import read_settings
from app.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "docs" / "deploy"
GIVEN = {
    "POSTGRES_PASSWORD": "secret",
    "PARTLAB_WORK": "/somewhere/work",
    "PARTLAB_RUNS": "/somewhere/runs",
    "PARTLAB_RUN": "seg",
}


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, with continued lines joined and comments left out."""
    text = re.sub(r"(?m)^#.*\n", "", (HOME / "Dockerfile").read_text())
    lines = text.replace("\\\n", " ").splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word
    ]


def filled(value: Any) -> Any:
    """With variables as Compose puts them in: NAME, NAME:-default, NAME:?what is missing."""

    def put(found: re.Match[str]) -> str:
        name, way, rest = found["name"], found["way"], found["rest"]
        assert way in ("", ":-", ":?"), found[0]
        if name in GIVEN:
            return GIVEN[name]
        assert way == ":-", f"{name} is named in no list of what a user must give"
        return rest

    if isinstance(value, dict):
        return {key: filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each) for each in value]
    pattern = r"\$\{(?P<name>\w+)(?P<way>:?[-?]?)(?P<rest>[^}]*)\}"
    return re.sub(pattern, put, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def compose() -> Any:
    return filled(YAML(typ="safe").load(HOME / "compose.yaml"))


def parsed(words: list[str]) -> None:
    """The program takes this command line; nothing runs."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("partlab", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
        context = command.make_context(command.name, rest, parent=context)


def test_the_image_is_made_of_what_is_there() -> None:
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM"
    known = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert set(words) <= known
    copied = [shlex.split(rest) for word, rest in instructions() if word == "COPY"]
    sources = {source for *some, _ in copied for source in some}
    assert all((ROOT / source).exists() for source in sources)
    project = (ROOT / "pyproject.toml").read_text()
    rooms = set(re.findall(r'"(\w+)"', re.search(r"module-name = \[(.*)\]", project)[1]))
    assert rooms | {"pyproject.toml", "README.md", "LICENSE"} == sources


def test_the_image_has_the_label_studio_that_is_tested() -> None:
    assert ("ARG", f"LABEL_STUDIO={VERSION}") in instructions()


def test_every_service_has_an_image_and_folders_that_are_there(compose: Any) -> None:
    built = {s["image"] for s in compose["services"].values() if "build" in s}
    for name, service in compose["services"].items():
        assert service["image"] in built or ":" in service["image"], name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or Path(source).is_absolute()
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    build = compose["services"]["studio"]["build"]
    assert (HOME / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", ["studio", "server"])
def test_the_commands_are_commands(compose: Any, name: str) -> None:
    parsed(compose["services"][name]["command"])


def test_the_server_of_people_gets_its_database(compose: Any, tmp_path: Path) -> None:
    (tmp_path / "studio.env").write_text(compose["configs"]["studio"]["content"])
    settings = read_settings(tmp_path / "studio.env")
    database = compose["services"]["db"]["environment"]
    assert settings["POSTGRE_HOST"] in compose["services"]
    assert settings["POSTGRE_NAME"] == database["POSTGRES_DB"]
    assert settings["POSTGRE_USER"] == database["POSTGRES_USER"]
    assert settings["POSTGRE_PASSWORD"] == database["POSTGRES_PASSWORD"]
    mounted = compose["services"]["studio"]["configs"][0]
    assert mounted["target"] in compose["services"]["studio"]["command"]
    assert mounted["source"] in compose["configs"]
