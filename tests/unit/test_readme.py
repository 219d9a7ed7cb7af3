"""The documentation is true: its commands exist, its options exist, its links lead somewhere."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from annotate.vocabulary import read_vocabulary
from annotate.work import Work
from app.cli.main import app

if TYPE_CHECKING:
    from sparql_engine import SparqlEngine

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = typer.main.get_command(app)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> Iterator[str]:
    """Lines of the bash blocks, continuation lines joined, comments and pipes cut off."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                yield from re.split(r"\s(?:&&|\||>|#)\s", line)


def calls(page: Path) -> Iterator[list[str]]:
    """Arguments of every `partlab …` in a bash block."""
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if "partlab" in words and "install" not in words[: words.index("partlab")]:
            yield words[words.index("partlab") + 1 :]


def mentions(page: Path) -> Iterator[list[str]]:
    """Arguments of every `partlab …` inside single backquotes."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for text in re.findall(r"`partlab ([^`]+)`", prose):
        yield text.split()


def find(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `words` name, and what follows it."""
    command: Any = PROGRAM
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    default = getattr(command, "commands", {}).get("run")
    return (default, words) if default is not None and default.hidden else (command, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_bash_blocks_parse(page: Path) -> None:
    """Unknown commands, unknown options, missing or superfluous arguments all fail here."""
    for words in calls(page):
        command, rest = find(words)
        assert not getattr(command, "commands", None), f"no command `partlab {' '.join(words)}`"
        command.make_context(" ".join(words), list(rest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_exist(page: Path) -> None:
    for words in mentions(page):
        command, rest = find(words)
        assert rest != words or words[0].startswith("-"), f"no command `partlab {words[0]}`"
        known = {option for param in command.params for option in param.opts} | {"--help"}
        unknown = [word for word in rest if word.startswith("--") and word not in known]
        assert unknown == [], f"`partlab {' '.join(words)}` has options that do not exist"
        if getattr(command, "commands", None):
            assert not rest or rest[0].startswith(("-", "…")), f"no command {words}"


def test_the_data_guide_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(calls(ROOT / "docs/guide/data.md"))
    assert len(lines) > 10
    for words in lines:
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0, f"partlab {' '.join(words)}\n{answer.output}"


def test_the_vocabulary_guide_runs_from_top_to_bottom(
    sparql_endpoint: "SparqlEngine", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but survey and new parts, which need a server; its work is the annotating guide's."""
    monkeypatch.chdir(tmp_path)
    other = (ROOT / "docs/guide/annotating.md").read_text(encoding="utf-8")
    Path("works.yaml").write_text(dict(FENCE.findall(other))["yaml"], encoding="utf-8")
    Work.create(Path("farm"), "farm", read_vocabulary("works.yaml"), []).close()
    page = (ROOT / "docs/guide/vocabulary.md").read_text(encoding="utf-8")
    for language, block in FENCE.findall(page):
        if language in ("json", "csv"):
            Path({"json": "parts.json", "csv": "ballots.csv"}[language]).write_text(block)
        for line in block.splitlines() if language == "bash" else ():
            if not line.startswith("partlab"):
                subprocess.run(line, shell=True, check=True)
            elif "survey" not in line and "--new-parts" not in line:
                words = shlex.split(line, comments=True)[1:]
                words += ["--endpoint", sparql_endpoint.url] if words[1] == "seed" else []
                answer = CliRunner().invoke(app, words)
                assert answer.exit_code == 0, f"{line}\n{answer.output}"


def test_the_two_commands_are_single_lines_and_ci_runs_the_second() -> None:
    lines = list(README.splitlines())
    assert "pip install uv && uv run partlab quickstart" in lines
    assert lines.count("pip install uv && uv run pytest -n 2") == 1
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "grep -m1 -x 'pip install uv && .*pytest.*' README.md" in ci


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    guides = {f"docs/guide/{page.name}" for page in (ROOT / "docs/guide").glob("*.md")}
    assert guides <= set(re.findall(r"\]\((docs/guide/[^)#]+)", README))


def test_every_word_of_the_glossary_says_what_to_avoid() -> None:
    text = (ROOT / "CONTEXT.md").read_text(encoding="utf-8")
    words = re.split(r"^\*\*(.+?)\*\*", text, flags=re.MULTILINE)[1:]
    without = [
        word for word, body in zip(words[::2], words[1::2], strict=True) if "_Avoid_" not in body
    ]
    assert len(words) > 20
    assert without == []


def test_decision_records_are_numbered_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs/adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
