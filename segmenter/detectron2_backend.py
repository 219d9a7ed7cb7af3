"""Mask R-CNN through detectron2, where that is installed (P-03).

Importing this module needs no detectron2; `segmenter.detectron2_rcnn` does.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from partlab.config import validate
from partlab.errors import BackendUnavailableError
from partlab.parts import Parts
from partlab.schema import Dataset
from segmenter.detectron2_settings import Detectron2Config, small
from segmenter.fit import fit
from segmenter.protocol import DETECTRON2_INSTALL
from segmenter.runs import read_run

if TYPE_CHECKING:
    from segmenter.detectron2_rcnn import Detectron2MaskRCNN


class Detectron2Backend:
    """Trains and loads `Detectron2MaskRCNN` (the `Backend` protocol)."""

    recipes: ClassVar[dict[str, Callable[[], Detectron2Config]]] = {"small": small}

    @property
    def settings(self) -> type[Detectron2Config]:
        """Settings of this backend; asked for first, so a run folder is never touched in vain.

        Raises:
            BackendUnavailableError: detectron2 is not installed.
        """
        require_detectron2()
        return Detectron2Config

    def fit(
        self,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: Any,
    ) -> None:
        """Train into `run`, or go on with an unfinished run of the same settings."""
        require_detectron2()
        from segmenter.detectron2_rcnn import Detectron2MaskRCNN, load_pretrained

        def create(device: str) -> "Detectron2MaskRCNN":
            amp = config.train.amp
            segmenter = Detectron2MaskRCNN(train.parts, config.model, device, amp=amp)
            load_pretrained(segmenter.network, config.model.weights)
            return segmenter

        fit(create, train, val, run, config, backend="detectron2")

    def load(
        self, run: Path, *, checkpoint: str = "best", device: str | None = None
    ) -> "Detectron2MaskRCNN":
        """The segmenter of a run folder.

        Raises:
            BackendUnavailableError: detectron2 is not installed.
            NotFoundError: the run has no such checkpoint (yet).
            DatasetError: the checkpoint is damaged, or belongs to another run.
        """
        require_detectron2()
        from partlab.training.checkpoints import load_weights
        from segmenter.detectron2_rcnn import Detectron2MaskRCNN
        from segmenter.network_segmenter import predicting

        description = read_run(run)
        config = validate(Detectron2Config, description["config"], str(run / "config.json"))
        parts = Parts.of(description["names"], description.get("inclusions"))
        model: Any = config.model
        segmenter = Detectron2MaskRCNN(parts, model, device, amp=predicting(config.train.amp))
        load_weights(segmenter.network, run, checkpoint)
        return segmenter


def require_detectron2() -> None:
    """Raise BackendUnavailableError, with the line that installs it, where it is missing."""
    if find_spec("detectron2") is None:
        raise BackendUnavailableError(
            "the segmenter backend detectron2 is not installed here", hint=DETECTRON2_INSTALL
        )


backend = Detectron2Backend()
