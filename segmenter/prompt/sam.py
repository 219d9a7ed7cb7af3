"""Model help by SAM or SAM 2 of transformers, from a folder on this machine (extra `sam`).

A general model: it knows nothing of parts or names, and gives `part` back as it was asked.
Nothing is downloaded: the folder is what `save_pretrained` of model and processor wrote.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from partlab.errors import BackendUnavailableError, DatasetError, NotFoundError
from partlab.masks import encode
from partlab.training.device import pick_device
from segmenter.objects import Objects
from segmenter.prompt.bend import bent
from segmenter.prompt.cache import DEFAULT_BYTES, LookCache, key_of
from segmenter.prompt.prompts import PromptAnswer, Prompts
from segmenter.protocol import Pixels

KINDS = ("sam", "sam2")
_DISOBEYED = 0.5  # of the model's own estimate of IoU, for each click a mask disobeys


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the image encoder made of a picture: one map (SAM) or several (SAM 2)."""

    maps: Any
    sizes: dict[str, Any]  # what the processor needs to bring masks back to the picture's size

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        maps = self.maps if isinstance(self.maps, list | tuple) else [self.maps]
        return sum(int(map.numel() * map.element_size()) for map in maps)


class SamPrompter:
    """Answers from a SAM model (the `Prompter` protocol)."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        device: str | None = None,
        *,
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self.device = pick_device(device)
        self.model, self.processor = model.to(self.device).eval(), processor
        self.cache: LookCache[Embedded] = LookCache(cache_bytes)

    @classmethod
    def load(
        cls, folder: str | Path, device: str | None = None, *, cache_bytes: int = DEFAULT_BYTES
    ) -> Self:
        """The model in a folder.

        Raises:
            BackendUnavailableError: transformers is not installed.
            NotFoundError: there is no such folder, or no model in it.
            DatasetError: it holds another kind of model, or its files are damaged.
        """
        try:
            from transformers import AutoConfig, AutoModelForMaskGeneration, AutoProcessor
        except ImportError as error:
            raise BackendUnavailableError(
                "transformers, which runs SAM, is not installed",
                hint="pip install 'partlab[sam]'",
            ) from error
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise NotFoundError(
                f"{folder} holds no model (it has no config.json)",
                hint="name the folder of a SAM or SAM 2 model as transformers saves it",
            )
        try:
            kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
            if kind in KINDS:
                model = AutoModelForMaskGeneration.from_pretrained(folder, local_files_only=True)
                read: Any = AutoProcessor.from_pretrained  # untyped
                processor = read(folder, local_files_only=True)
        except Exception as error:  # transformers raises many kinds for a broken folder
            raise DatasetError(
                f"the model in {folder} cannot be read: {str(error).strip().splitlines()[0]}",
                hint="copy the folder again, with config.json, preprocessor_config.json and "
                "model.safetensors",
            ) from error
        if kind not in KINDS:
            raise DatasetError(
                f"{folder} holds a model of the kind {kind!r}, which is not SAM",
                hint=f"name the folder of one of these kinds: {', '.join(KINDS)}",
            )
        return cls(model, processor, device, cache_bytes=cache_bytes)

    @torch.inference_mode()
    def answer(
        self,
        pixels: Pixels,
        prompts: Prompts,
        *,
        part: str | None = None,
        objects: Objects = None,
        key: str | None = None,
    ) -> PromptAnswer | None:
        """See `Prompter.answer`; `objects` says nothing to it."""
        prompts = prompts.within(*pixels.shape[:2])
        if not prompts.positive and prompts.box is None:
            return None
        embedded = self.cache.get(key or key_of(pixels), lambda: self._look(pixels))
        logits, scores = self._masks(embedded, pixels, prompts)
        wrong = [sum((m[c.at] > 0) != c.positive for c in prompts.clicks) for m in logits]
        best = int(np.argmax(scores - _DISOBEYED * np.array(wrong, np.float32)))
        obeying = bent(logits[best], pixels, prompts)
        if obeying is None or not (obeying > 0).any():
            return None
        score = min(max(float(scores[best]), 0.0), 1.0)
        return PromptAnswer(encode(obeying > 0), part, score, "sam")

    def _look(self, pixels: Pixels) -> Embedded:
        inputs = self.processor(images=np.ascontiguousarray(pixels), return_tensors="pt")
        maps = self.model.get_image_embeddings(inputs["pixel_values"].to(self.device))
        return Embedded(maps, {k: v for k, v in inputs.items() if k.endswith("_sizes")})

    def _masks(
        self, embedded: Embedded, pixels: Pixels, prompts: Prompts
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (M, height, width) of the masks it offers, and its estimates (M,) of their IoU."""
        found = self.model(
            image_embeddings=embedded.maps,
            multimask_output=True,
            **{name: each.to(self.device) for name, each in self._asked(pixels, prompts).items()},
        )
        reshaped = embedded.sizes.get("reshaped_input_sizes")  # SAM pads, SAM 2 does not
        (masks,) = self.processor.post_process_masks(
            found.pred_masks.cpu(),
            embedded.sizes["original_sizes"],
            binarize=False,
            **({} if reshaped is None else {"reshaped_input_sizes": reshaped}),
        )
        scores = found.iou_scores[0, 0].float().cpu().numpy()
        return masks[0].float().cpu().numpy(), scores

    def _asked(self, pixels: Pixels, prompts: Prompts) -> dict[str, Any]:
        """Points and box at the model's own resolution."""
        asked: dict[str, Any] = {}
        if prompts.clicks:
            asked["input_points"] = [[[[c.x, c.y] for c in prompts.clicks]]]
            asked["input_labels"] = [[[int(c.positive) for c in prompts.clicks]]]
        if prompts.box is not None:
            asked["input_boxes"] = [[list(prompts.box)]]
        inputs = self.processor(images=np.ascontiguousarray(pixels), return_tensors="pt", **asked)
        return {
            name: value.float() if value.is_floating_point() else value
            for name, value in inputs.items()
            if name in asked
        }
