"""`partlab evaluate RUN… DATA`: how a recognition model stands up to attacks.

The group falls back to its hidden command `run`, as that of `app.cli.pseudolabel` does; other
modules add commands with `register(group)`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._group import DefaultGroup
from app.cli._ui import DryRunOpt, JsonOpt, reported

if TYPE_CHECKING:
    from train.evaluate.evaluate import Plan
    from train.evaluate.outcomes import Evaluation, Model
    from train.evaluate.preflight import Preflight

group = typer.Typer(
    cls=DefaultGroup, no_args_is_help=True, help="Evaluate recognition models under attack."
)

_PLACES = (
    "Run folders, exported models or folders with others' weights and a card; and last the "
    "data: a part data set, or a folder with one sub-folder a class."
)
_THREATS = "linf:4/255, l2:2, l1:75, …; standard for the usual four threats."
_ATTACKS = (
    "autoattack, pgd-20, pgd-20x5 (restarts), stages: apgd-ce,apgd-t; through part outputs: "
    "pgd-cls-20, pgd-seg-20, pgd-sum-20, pgd-seg-guided-20. May be repeated."
)
SplitOpt = Annotated[str | None, typer.Option(help="Which split of a part data set.")]
ResultsOpt = Annotated[Path, typer.Option(help="Folder of the results, one sub-folder a model.")]
ListOpt = Annotated[
    Path | None, typer.Option("--list", help="List of pictures: class/file number a line.")
]
ColumnsOpt = Annotated[
    str | None, typer.Option(help="Only these classes, with commas, or a file of them.")
]
GroupsOpt = Annotated[Path | None, typer.Option(help="JSON: super-category -> its classes.")]
MergeOpt = Annotated[str, typer.Option(help="Of a super-category: max or logsumexp.")]
CheckpointOpt = Annotated[str, typer.Option(help="best or last.")]
ChunkOpt = Annotated[
    int | None,
    typer.Option(min=1, help="Pictures a saved file; batches for a tenth of all, 10 at most."),
]
MaxHoursOpt = Annotated[float | None, typer.Option(help="Refuse to begin what may take longer.")]
DeviceOpt = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")]


@group.command(hidden=True)
def run(
    places: Annotated[list[Path], typer.Argument(metavar="RUN... DATA", help=_PLACES)],
    out: ResultsOpt,
    split: SplitOpt = "val",
    list_: ListOpt = None,
    threats: Annotated[list[str] | None, typer.Option(help=_THREATS)] = None,
    attacks: Annotated[list[str] | None, typer.Option(help=_ATTACKS)] = None,
    max_hours: MaxHoursOpt = None,
    columns: ColumnsOpt = None,
    groups: GroupsOpt = None,
    merge: MergeOpt = "max",
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once; part of the result.")] = 50,
    chunk: ChunkOpt = None,
    seed: Annotated[int, typer.Option(help="Of the attacks.")] = 0,
    pictures: Annotated[
        int, typer.Option(min=0, help="Kept as attacks leave them, for the report; 0: none.")
    ] = 4,
    honesty: Annotated[
        bool, typer.Option("--honesty", help="All honesty checks first, on 64 of the pictures.")
    ] = False,
    large_eps: Annotated[
        bool, typer.Option("--large-eps", help="Yes, 0.2 or more under linf.")
    ] = False,
    checkpoint: CheckpointOpt = "best",
    device: DeviceOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Accuracy of models on pictures as they are and under threats, by picture.

    The same command again goes on where it was stopped; with other threats or attacks it adds
    them to what is there.

    Example: partlab evaluate runs/mpm world --threats linf:4/255 --attacks pgd-20 --out results
    """
    with reported(json) as ui:
        from partlab.errors import ConfigError
        from train.evaluate.attacks import parse_attacks
        from train.evaluate.evaluate import estimate
        from train.evaluate.opened import names_of
        from train.evaluate.threats import parse_threats

        if len(places) < 2:
            raise ConfigError(
                "name models, and then the data", hint="partlab evaluate RUN DATA --out DIR"
            )
        *models, data = places
        given: dict[str, Any] = {
            "threats": parse_threats(threats or ["standard"], large_eps=large_eps),
            "attacks": parse_attacks(attacks or ["autoattack"]),
            "batch": batch,
            "chunk": chunk,
            "seed": seed,
            "pictures": pictures,
            "honesty": honesty,
        }
        asked = {"columns": columns_of(columns), "groups": groups_of(groups), "merge": merge}
        names = names_of(models)
        plans = [
            plan_of(model, data, given, asked, (split, list_, out), (checkpoint, device))
            for model in models
        ]
        costs = []
        for name, path, plan in zip(names, models, plans, strict=True):
            with named(path):
                costs.append(estimate(plan, out / name))
        if dry_run:
            ui.emit(*estimated(names, costs))
        else:
            agreed(costs, max_hours)
            ui.emit(*_told(_all(plans, names, models, out)))


def plan_of(
    model: Path,
    data: Path,
    given: dict[str, Any],
    asked: dict[str, Any],
    where: tuple[str | None, Path | None, Path],
    which: tuple[str, str | None],
) -> "Plan":
    """A model and its pictures; `asked` are classes, `where` split, list and --out."""
    from train.evaluate.evaluate import Plan, usual_chunk
    from train.evaluate.opened import open_model
    from train.evaluate.shown import shown_to
    from train.evaluate.victim import Victim

    split, file, out = where
    with named(model):
        opened = open_model(model, checkpoint=which[0], device=which[1])
        victim = Victim(opened.network, opened.classes, **asked)
        shown = shown_to(victim, data, split=split, cache=out / ".label-maps", file=file)
        chunk = given["chunk"] or usual_chunk(len(shown.names), given["batch"])
        return Plan(opened, victim, shown, **{**given, "chunk": chunk})


@contextmanager
def named(model: Path) -> Iterator[None]:
    """What is said of "the model" says of which: several may be evaluated."""
    from partlab.errors import PartlabError

    try:
        yield
    except PartlabError as error:
        if "the model" in error.message and str(model) not in error.message:
            error.message = f"{model}: {error.message}"
        raise


def _all(
    plans: "Sequence[Plan]", names: Sequence[str], models: Sequence[Path], out: Path
) -> "list[Evaluation]":
    from train.evaluate.evaluate import evaluate

    done = []
    for name, path, plan in zip(names, models, plans, strict=True):
        with named(path):
            model: Model = plan.opened.described(name, path)
            done.append(evaluate(plan, model, out / name))
    return done


def agreed(costs: "Sequence[Preflight]", max_hours: float | None) -> None:
    """Say what the work takes, and refuse what is too long or too large."""
    from train.evaluate.preflight import together

    total = together(costs)
    say(f"{len(costs)} models, together {total}" if len(costs) > 1 else f"1 model on {total}")
    total.check(max_hours)


def estimated(names: "Sequence[str]", costs: "Sequence[Preflight]") -> tuple[Any, str]:
    """What a dry run says, as JSON and in words."""
    both = list(zip(names, costs, strict=True))
    facts = {"dry_run": True, "models": [{"model": n, **cost.as_json()} for n, cost in both]}
    return facts, "\n".join(f"{name}: {cost}" for name, cost in both)


def say(text: str) -> None:
    """A sentence beside the result."""
    import logging

    logging.getLogger(__name__).info("%s", text)


def columns_of(text: str | None) -> list[str] | None:
    """Names with commas between, or the lines of a file."""
    if text is None:
        return None
    import os

    from partlab.files import read_lines

    if os.path.isfile(text):  # not Path's, which fails on a thousand names
        return read_lines(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def groups_of(file: Path | None) -> dict[str, list[str]] | None:
    """The JSON object of a file: super-category -> classes."""
    if file is None:
        return None
    from partlab.errors import SchemaError
    from partlab.files import read_json

    found = read_json(file)
    good = isinstance(found, dict) and all(isinstance(own, list) for own in found.values())
    if not good or not all(isinstance(n, str) for own in found.values() for n in own):
        raise SchemaError(
            f"{file} is not of the form super-category -> classes", hint='{"pet": ["cat", "dog"]}'
        )
    return dict(found)


def _told(evaluations: "list[Evaluation]") -> tuple[Any, str]:
    """The result as JSON, and in words."""
    from train.evaluate.table import as_json, as_text

    return as_json(evaluations), as_text(evaluations)


@group.command("list")
def list_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set or picture folder.")],
    per_class: Annotated[
        int | None, typer.Option(help="Pictures of each class; none: only look at --out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The list: new; or one to report on.")] = None,
    split: SplitOpt = "val",
    force: Annotated[bool, typer.Option("--force", help="Replace a list.")] = False,
    json: JsonOpt = False,
) -> None:
    """Draw a list with equally many pictures of each class, or report how balanced a list is.

    Example: partlab evaluate list world --per-class 10 --seed 0 --out balanced.txt

    A published list: partlab evaluate list published_10k.txt
    """
    with reported(json) as ui:
        import tempfile

        from partlab.errors import ConfigError
        from partlab.files import need_new_file, sha256_file
        from train.evaluate.shown import write_balanced
        from train.lists import read_list

        if per_class is not None:
            if out is None:
                raise ConfigError("the new list has no place", hint="--out FILE")
            need_new_file(out, force=force)
            with tempfile.TemporaryDirectory() as cache:
                given: dict[str, Any] = {"per_class": per_class, "seed": seed, "split": split}
                write_balanced(data, out, **given, cache=Path(cache))
        file = out or data
        if file.is_dir():
            raise ConfigError(
                f"{file} is a folder, not a list", hint="--per-class n --out FILE draws one of it"
            )
        balance, sha = read_list(file).balance(), sha256_file(file)
        facts = {
            "list": str(file),
            "sha256": sha,
            "images": balance.pictures,
            "least": balance.least,
            "most": balance.most,
            "without": list(balance.without),
        }
        ui.emit(facts, f"{file}: {balance}\nsha256 {sha}")
