"""The dense backend, as the registry knows it."""

from pathlib import Path
from typing import Any, ClassVar

from partlab.config import validate
from partlab.parts import Parts
from partlab.schema import Dataset
from partlab.training.checkpoints import load_weights
from segmenter.backbone import load_backbone_weights
from segmenter.dense.lesson import taught
from segmenter.dense.segmenter import DenseSegmenter
from segmenter.dense.settings import DenseConfig, light, resnet50, small
from segmenter.fit import fit
from segmenter.judge import by_pixels
from segmenter.network_segmenter import predicting
from segmenter.runs import read_run


class DenseBackend:
    """Trains and loads `DenseSegmenter` (the `Backend` protocol)."""

    settings = DenseConfig
    recipes: ClassVar = {"light": light, "small": small, "resnet50": resnet50}
    goes_on = True
    """`train.start` is obeyed."""

    def fit(self, train: Dataset, val: Dataset | None, run: Path, config: Any) -> None:
        """Train into `run`, or go on with an unfinished run of the same settings.

        The best checkpoint is that of the highest mean IoU of label maps.
        """

        def create(device: str) -> DenseSegmenter:
            segmenter = DenseSegmenter(train.parts, config.model, device, amp=config.train.amp)
            body = segmenter.network.pyramid.body
            load_backbone_weights(body, config.model.backbone, config.model.weights)
            return segmenter

        fit(create, train, val, run, config, backend="dense", judge=by_pixels, teach=taught)

    def load(
        self, run: Path, *, checkpoint: str = "best", device: str | None = None
    ) -> DenseSegmenter:
        """The segmenter of a run folder.

        Raises:
            NotFoundError: the run has no such checkpoint (yet).
            DatasetError: the checkpoint is damaged, or belongs to another run.
        """
        description = read_run(run)
        config = validate(DenseConfig, description["config"], str(run / "config.json"))
        parts = Parts.of(description["names"], description.get("inclusions"))
        amp = predicting(config.train.amp)
        segmenter = DenseSegmenter(parts, config.model, device, amp=amp)
        load_weights(segmenter.network, run, checkpoint)
        segmenter.weights = run / f"{checkpoint}.safetensors"
        return segmenter


backend = DenseBackend()
