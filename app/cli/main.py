"""The `partlab` program: puts the command groups together."""

from typing import Annotated

import typer

from app.cli import (
    data,
    data_crops,
    data_duplicates,
    data_files,
    data_merge,
    data_weaken,
    evaluate,
    evaluate_corruptions,
    evaluate_detector,
    evaluate_honesty,
    evaluate_make_set,
    evaluate_ood,
    evaluate_parts,
    evaluate_people,
    evaluate_report,
    inspect,
    inspect_decide,
    inspect_discards,
    inspect_export,
    inspect_honeypots,
    inspect_plan,
    inspect_sample,
    loop,
    pseudolabel_reports,
    segmenter_compare,
    serve,
    studio,
    studio_connect,
    studio_create,
    studio_pull,
    studio_push,
    studio_reassign,
    studio_up,
    train,
    train_detector,
    train_show,
    vocabulary,
    vocabulary_edit,
    vocabulary_lint,
    vocabulary_migrate,
    vocabulary_seed,
    vocabulary_vote,
    web,
)
from app.cli.doctor import doctor
from app.cli.quickstart import quickstart
from app.cli.status import status

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Part-level vision data: choose parts, draw them, train a part segmenter, "
    "pseudo-label the rest.",
)
data_files.register(data.group)
data_crops.register(data.group)
data_duplicates.register(data.group)
data_merge.register(data.group)
data_weaken.register(data.group)
studio_up.register(studio.group)
studio_create.register(studio.group)
studio_push.register(studio.group)
studio_connect.register(studio.group)
studio_pull.register(studio.group)
studio_reassign.register(studio.group)
vocabulary_seed.register(vocabulary.group)
vocabulary_vote.register(vocabulary.group)
vocabulary_lint.register(vocabulary.group)
vocabulary_edit.register(vocabulary.group)
vocabulary_migrate.register(vocabulary.group)
inspect_sample.register(inspect.group)
inspect_decide.register(inspect.group)
inspect_discards.register(inspect.group)
inspect_export.register(inspect.group)
inspect_plan.register(inspect.group)
inspect_honeypots.register(inspect.group)
train_show.register(train.group)
train_detector.register(train.group)
evaluate_detector.register(evaluate.group)
evaluate_corruptions.register(evaluate.group)
evaluate_honesty.register(evaluate.group)
evaluate_make_set.register(evaluate.group)
evaluate_ood.register(evaluate.group)
evaluate_parts.register(evaluate.group)
evaluate_people.register(evaluate.group)
evaluate_report.register(evaluate.group)
app.command()(quickstart)
app.command()(doctor)
app.command()(status)
app.add_typer(data.group, name="data")
app.add_typer(vocabulary.group, name="vocabulary")
app.add_typer(studio.group, name="studio")
app.add_typer(inspect.group, name="inspect")
app.add_typer(segmenter_compare.group, name="segmenter")
app.add_typer(pseudolabel_reports.group, name="pseudolabel")
app.add_typer(train.group, name="train")
app.add_typer(evaluate.group, name="evaluate")
app.add_typer(serve.group, name="serve")
app.add_typer(web.group, name="app")
app.add_typer(loop.group, name="loop")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that belong to no command."""
    if show_version:
        from importlib.metadata import version  # a tenth of a second that no command needs

        print(f"partlab {version('partlab')}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":  # for `torchrun … -m app.cli.main`
    main()
