"""A trained model on a split it has not seen, as it is and under PGD."""

from pathlib import Path

from train.attacks.ball import Ball
from train.attacks.evaluation import Verdicts, evaluate_pgd
from train.models.load import load_model
from train.pictures import open_pictures
from train.runs import read_run, settings_of
from train.samples import eval_batches


def examine(
    run: str | Path,
    data: str | Path,
    *,
    split: str,
    cache: str | Path | None = None,
    steps: int = 20,
    eps: float | None = None,
    checkpoint: str = "best",
    device: str | None = None,
) -> Verdicts:
    """Which pictures of a split a run's model gets right, and which also under PGD.

    Steps of ε / 4 from a random start; ε and the norm are those of the training unless `eps` is
    given. Pictures are in the order of the data set's index (`open_pictures`), so that verdicts
    of two runs with the same classes can be paired. `cache` is as in `open_pictures`; unless
    given, it lies beside the run, as in training.

    Raises:
        NotFoundError: no such run, checkpoint, data set or split.
        DatasetError: the data set has classes that the model has not, or a damaged picture.
    """
    config = settings_of(read_run(run), Path(run))
    model = load_model(run, checkpoint=checkpoint, device=device)
    cache = cache or Path(run).parent / "label-maps"
    pictures = open_pictures([data], split=split, cache=cache, classes=model.classes)
    large = config.attack.large_eps and eps is None
    ball = Ball(config.attack.norm, config.attack.eps if eps is None else eps, large)
    side = config.data.size // model.finest_stride
    batches = eval_batches(pictures, config.data, side, config.val.batch_size, range(len(pictures)))
    pairs = ((batch.pixels, batch.classes) for batch in batches)
    return evaluate_pgd(model, pairs, ball, steps=steps)
