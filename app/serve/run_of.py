"""What loads a run folder of either kind, or an exported recognition model, to be served."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.serve.segmenters import SegmenterModel
from app.serve.served import Served, Told
from app.serve.settings import ServeSettings
from partlab.errors import NotFoundError, SchemaError
from partlab.training.runs import read_config
from segmenter.origin import RunFolder


@dataclass(frozen=True, slots=True)
class RunOf:
    """A run folder of either kind, or an exported recognition model."""

    folder: Path
    checkpoint: str
    device: str | None

    def __call__(self, name: str, settings: ServeSettings, told: Told) -> Served:
        """Load it; errors are those of `segmenter.origin` and `train.evaluate.opened`."""
        described = read_config(self.folder)
        if described is None and not (self.folder / "card.json").is_file():
            none = f"{self.folder} is no run and no exported model (no config.json, no card.json)"
            raise NotFoundError(
                none if self.folder.exists() else f"there is no folder {self.folder}",
                hint="name a folder that partlab segmenter train, partlab train run or partlab "
                "train export wrote",
            )
        kind = "recognition" if described is None else described.get("kind", "segmenter")
        if kind == "segmenter":
            return self._segmenter(name, settings, told)
        if kind != "recognition":
            raise SchemaError(f"{self.folder} is a run of kind {kind}, which cannot be served")
        from app.serve.recognition import RecognitionModel
        from train.evaluate.opened import open_model

        opened = open_model(self.folder, checkpoint=self.checkpoint, device=self.device)
        return RecognitionModel(name, opened, settings, told)

    def _segmenter(self, name: str, settings: ServeSettings, told: Told) -> SegmenterModel:
        origin = RunFolder(self.folder)
        facts = told_of(origin)
        loaded = origin.load(self.checkpoint, self.device)
        weights = origin.weights_sha256(self.checkpoint)
        kept = settings.help.cache_bytes
        return SegmenterModel(
            name, loaded, facts, settings.batch, told, self.checkpoint, weights, kept
        )


def told_of(origin: RunFolder) -> dict[str, Any]:
    """What a server tells of a run; its version changes with it."""
    whole = origin.description()
    told = {key: whole.get(key) for key in ("backend", "config", "names", "inclusions")}
    return told | ({"tuning": whole["tuning"]} if "tuning" in whole else {})
