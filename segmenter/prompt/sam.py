"""Model help by SAM or SAM 2 of transformers, from a folder on this machine (extra `sam`).

A general model: it knows nothing of parts or names, and gives `part` back as it was asked.
Nothing is downloaded: the folder is what `save_pretrained` of model and processor wrote. The
published folders of SAM 2 are of its video model, whose image model is taken.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from partlab.counts import counted
from partlab.errors import BackendUnavailableError, DatasetError, NotFoundError, PartlabError
from partlab.files import sha256_file, sha256_json
from partlab.training.device import pick_device
from segmenter.prompt.base import Asked, Guess, PrompterBase
from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.prompt.prompts import Prompts
from segmenter.protocol import Pixels

KINDS = ("sam", "sam2", "sam2_video")
_FILES = ("*.safetensors", "*.bin")  # of weights
_HASH = 12  # hex digits of a version
_AGAIN = "copy the folder again, with config.json, preprocessor_config.json and model.safetensors"
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


class SamPrompter(PrompterBase[Embedded]):
    """Answers from a SAM model (the `Prompter` protocol); `called` is its name and version."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        device: str | None = None,
        *,
        called: str = "sam",
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        super().__init__(cache_bytes)
        self.device, self.called = pick_device(device), called
        self.model, self.processor = model.to(self.device).eval(), processor

    @classmethod
    def load(
        cls, folder: str | Path, device: str | None = None, *, cache_bytes: int = DEFAULT_BYTES
    ) -> Self:
        """The model in a folder.

        Raises:
            BackendUnavailableError: transformers is not installed.
            NotFoundError: there is no such folder.
            DatasetError: it holds no model or another kind of one, or its files are damaged.
        """
        _need_transformers()
        folder = Path(folder)
        _need_model(folder)
        try:
            model, processor = _read(folder)
        except PartlabError:
            raise
        except Exception as error:  # transformers raises many kinds for a broken folder
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise DatasetError(
                f"the model in {folder} cannot be read: {why}", hint=_AGAIN
            ) from error
        called = f"{folder.resolve().name}@{_version(folder)}"
        return cls(model, processor, device, called=called, cache_bytes=cache_bytes)

    @torch.inference_mode()
    def look(self, pixels: Pixels) -> Embedded:
        """What the image encoder makes of it."""
        inputs = self.processor(images=np.ascontiguousarray(pixels), return_tensors="pt")
        maps = self.model.get_image_embeddings(inputs["pixel_values"].to(self.device))
        return Embedded(maps, {k: v for k, v in inputs.items() if k.endswith("_sizes")})

    @torch.inference_mode()
    def guess(self, look: Embedded, pixels: Pixels, asked: Asked) -> Guess:
        """The mask it thinks best that obeys most clicks; `objects` says nothing to it."""
        logits, scores = self._masks(look, pixels, asked.prompts)
        wrong = [sum((m[c.at] > 0) != c.positive for c in asked.prompts.clicks) for m in logits]
        best = int(np.argmax(scores - _DISOBEYED * np.array(wrong, np.float32)))
        return Guess(logits[best], asked.part, float(scores[best]), "sam")

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


def _need_transformers() -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            "transformers, which runs SAM, is not installed", hint="pip install 'partlab[sam]'"
        ) from error


def _read(folder: Path) -> tuple[Any, Any]:
    """Model and processor; weights that lack a tensor would be filled with chance."""
    from transformers import AutoConfig, AutoModelForMaskGeneration, Sam2Processor, SamProcessor

    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind not in KINDS:
        raise DatasetError(
            f"{folder} holds a model of the kind {kind!r}, which is not SAM",
            hint=f"name the folder of one of these kinds: {', '.join(KINDS)}",
        )
    model, told = AutoModelForMaskGeneration.from_pretrained(
        folder, local_files_only=True, output_loading_info=True
    )
    if missing := sorted(told["missing_keys"]):
        raise DatasetError(
            f"the weights in {folder} lack {counted(len(missing), 'tensor')}: {missing[0]}, …",
            hint=_AGAIN,
        )
    read: Any = SamProcessor if kind == "sam" else Sam2Processor  # untyped
    return model, read.from_pretrained(folder, local_files_only=True)


def _need_model(folder: Path) -> None:
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="name the folder of a SAM model")
    if not (folder / "config.json").is_file():
        raise DatasetError(
            f"{folder} holds no model (it has no config.json)",
            hint="name the folder of a SAM or SAM 2 model as transformers saves it",
        )


def _version(folder: Path) -> str:
    """12 hex digits of what its files of weights hold."""
    files = sorted(file for pattern in _FILES for file in folder.glob(pattern))
    return sha256_json([[file.name, sha256_file(file)] for file in files])[:_HASH]
