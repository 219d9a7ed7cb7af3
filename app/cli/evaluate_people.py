"""`partlab evaluate shape-bias` and `… humans`: a model's answers beside people's."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, reported

if TYPE_CHECKING:
    from train.people.alignment import Alignment

_BIAS = "shape bias = shape / (shape + texture), of answers that are one of the two"


def register(group: typer.Typer) -> None:
    """Add these commands to the group `evaluate`."""
    group.command("shape-bias")(shape_bias)
    group.command()(humans)


def shape_bias(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="packaged:tf_efficientnet_lite0, a run, an exported model, or a folder with the "
            "card.json of another's weights; of the 1,000 ImageNet classes.",
        ),
    ],
    pictures: Annotated[
        Path, typer.Argument(metavar="STIMULI", help="A folder of pictures per category.")
    ],
    json: JsonOpt = False,
) -> None:
    """Does a model go by shape or by texture? Its 16-way answers to stimuli (Geirhos 2019).

    Pictures called like `cat7-truck3.png` (a cat made of truck) give the shape bias; others,
    such as edges and silhouettes, the accuracy.

    Example: partlab evaluate shape-bias packaged:tf_efficientnet_lite0 stimuli/cue-conflict
    """
    with reported(json) as ui:
        from train.people.stimuli import answers, of_conflict, stimuli
        from train.people.stimuli import shape_bias as count
        from train.people.thousand import load_thousand

        shown = stimuli(pictures)
        conflict = of_conflict(shown)
        found = load_thousand(model)
        opened = found.opened
        told = answers(opened.network, opened.pictures, [file for file, _ in shown])
        right = sum(answer == shape for (_, shape), answer in zip(shown, told, strict=True))
        facts: dict[str, Any] = {
            "model": model, "stimuli": len(shown), "right": right, "accuracy": right / len(shown),
            "preprocessing": opened.preprocessing,
            "decision": "greatest mean probability of a category's ImageNet classes",
            "remark": found.remark or None,
        }  # fmt: skip
        if conflict:
            bias = count(shown, told)
            facts |= {"shape_bias": bias.bias, "formula": _BIAS, "counts": asdict(bias)}
        ui.emit(facts, _told(facts))


def _told(facts: dict[str, Any]) -> str:
    sides = facts["preprocessing"]
    lines = [
        f"{facts['model']} on {facts['stimuli']:,} stimuli, short side {sides['shorter_side']}, "
        f"{sides.get('interpolation', 'bicubic')}, centre {sides['size']} x {sides['size']}",
        f"decision: {facts['decision']}",
        f"accuracy: {facts['right']:,} / {facts['stimuli']:,} = {facts['accuracy']:.1%}",
    ]
    if "counts" in facts:
        lines += [facts["formula"], *_bias_lines(facts["shape_bias"], facts["counts"])]
    if facts["remark"]:
        lines.append(f"note: {facts['remark']}")
    return "\n".join(lines)


def _bias_lines(bias: float | None, counts: dict[str, int]) -> list[str]:
    shape, texture = counts["shape"], counts["texture"]
    figure = "none: no answer is shape or texture" if bias is None else f"{bias:.1%}"
    return [
        f"shape bias: {shape:,} / ({shape:,} + {texture:,}) = {figure}",
        f"answers that are neither, left out: {counts['other']:,}",
        f"stimuli whose shape and texture are one category, left out: {counts['same']:,}",
    ]


def humans(
    raw: Annotated[
        Path, typer.Argument(metavar="RAW-DATA", help="Folder raw-data of model-vs-human.")
    ],
    responses: Annotated[
        list[Path] | None,
        typer.Option(
            "--model-responses",
            metavar="CSV",
            help="Answers of a model to one set, SET_MODEL.csv; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Do a model and people get the same pictures right? Without a model: people and people.

    Means are of the sets that are there, which is said: they are to be compared only with means
    of the same sets. Beside every model stand people against people on its sets.

    Example: partlab evaluate humans raw-data --model-responses edge_resnet50.csv
    """
    with reported(json) as ui:
        from train.people.alignment import FORMULA, align
        from train.people.trials import read_responses, read_sets

        people = read_sets(raw)
        models = read_responses(responses or [])
        rows = {name: (align(people, sets), sets) for name, sets in models.items()}
        facts = {
            "formula": FORMULA.splitlines(),
            "people": _facts(align(people)),
            "models": {
                name: {
                    **_facts(found),
                    "people_on_the_same_sets": _facts(align({n: people[n] for n in found.sets})),
                    "sets_without_people": sorted(sets.keys() - people.keys()),
                }
                for name, (found, sets) in rows.items()
            },
        }
        ui.emit(facts, f"{FORMULA}\n\n{_blocks(facts)}")


def _facts(found: "Alignment") -> dict[str, Any]:
    return {**asdict(found), "told": found.told}


def _blocks(facts: dict[str, Any]) -> str:
    blocks = [_block("people against people", facts["people"])]
    for name, model in facts["models"].items():
        blocks.append(_block(f"{name} against people", model))
        blocks.append(
            _block(
                f"people against people, on the sets of {name}", model["people_on_the_same_sets"]
            )
        )
        if others := model["sets_without_people"]:
            blocks.append(f"note: no people answered these sets of {name}: {', '.join(others)}")
    return "\n\n".join(blocks)


def _block(title: str, found: dict[str, Any]) -> str:
    names = ", ".join(found["sets"])
    lines = [
        f"{title}: {found['told']}" + ("" if len(found["sets"]) == 17 else f" ({names})"),
        f"  accuracy difference  {found['accuracy_difference']:.4f}",
        f"  observed consistency {found['observed_consistency']:.4f}",
        f"  error consistency    {found['error_consistency']:.4f}",
        f"  accuracy             {found['accuracy']:.4f} (kept conditions, mean over sets)",
        f"  accuracy of all      {found['accuracy_of_all']:.4f} (all trials, excluded ones too)",
        f"  {found['trials']:,} trials, {found['excluded_trials']:,} of them in excluded "
        f"conditions; {found['no_answer']:,} kept ones without an answer count as wrong",
    ]
    if missed := found["unanswered"]:
        lines.append(
            f"  note: {missed:,} trials of people are on pictures that it did not answer; "
            "the figures say nothing of them"
        )
    return "\n".join(lines)
