"""A network as an ONNX file, checked by running it."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from partlab.errors import BackendUnavailableError, PartlabError
from partlab.files import replacing
from train.models.base import Recognizer

log = logging.getLogger(__name__)

MODEL = "model.onnx"
OPSET = 17
TOLERANCE = 1e-4
"""How far ONNX's logits may be from torch's, as a share of the largest logit or of 1, whichever
is more. Both compute in float32 and add up in another order."""
PICTURES = 4


def need_onnx() -> None:
    """See that onnx and onnxruntime are there.

    Raises:
        BackendUnavailableError: one of them is not installed.
    """
    try:
        import onnx  # noqa: F401 - torch writes with it
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            f"{error.name} is not installed", hint="pip install 'partlab[onnx]'"
        ) from None


def write_onnx(model: Recognizer, size: int, path: Path) -> dict[str, Any]:
    """Write `images` (batch, 3, size, size) in 0…1 → `logits` (batch, C); returns what was found.

    The logits of random pictures are compared with torch's.

    Raises:
        BackendUnavailableError: onnx or onnxruntime is not installed.
        PartlabError: torch cannot express the network, or the logits differ.
    """
    need_onnx()
    images = torch.rand(PICTURES, 3, size, size, generator=torch.Generator().manual_seed(0))
    network = _Logits(model).eval()
    with replacing(path) as scratch:
        _export(network, images[:1], scratch)
        with torch.no_grad():
            ours = network(images)
        worst, allowed = _difference(ours, _run(scratch, images)), _allowed(ours)
        if not worst <= allowed:  # NaN too
            raise PartlabError(
                f"the ONNX file's logits differ by {worst:.2g}, {allowed:.2g} is allowed",
                hint="export without ONNX; onnxruntime or torch may need an update",
            )
    log.info("%s: logits differ by %.2g at most (%.2g allowed)", path.name, worst, allowed)
    return {
        "file": path.name,
        "opset": OPSET,
        "largest_difference": worst,
        "allowed_difference": allowed,
        "compared": f"logits of {PICTURES} random pictures in torch and onnxruntime, float32",
    }


class _Logits(nn.Module):
    """Pictures in, logits out, and no choice between: what the exporter can follow."""

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits


def _export(network: nn.Module, images: Tensor, path: Path) -> None:
    """The older of torch's exporters: the newer one would need one more package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is the older one, and tracing's
            torch.onnx.export(
                network,
                (images,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise PartlabError(
            f"this network cannot be an ONNX file: {str(error).splitlines()[0]}",
            hint="export it without ONNX",
        ) from error


def _run(path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return torch.from_numpy(logits)


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _allowed(logits: Tensor) -> float:
    return TOLERANCE * max(1.0, float(logits.abs().max()))
