"""A trained model as others use it: the network for inference, and a card that says what it is."""

import logging
from pathlib import Path
from typing import Any

from partlab.files import sha256_file, write_json
from partlab.folders import new_folder
from partlab.training.checkpoints import save_weights
from train.card import card_of
from train.models.base import Recognizer
from train.models.load import load_model
from train.models.start import CARD, WEIGHTS
from train.onnx_file import MODEL, need_onnx, write_onnx
from train.runs import read_run

log = logging.getLogger(__name__)


def export_model(
    run: str | Path,
    out: str | Path,
    *,
    checkpoint: str = "best",
    onnx: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write the inference network of a run into the folder `out`; returns its card.

    Auxiliary layers are left out (MD-03): the network has the parameters and the operations of
    the plain backbone, and bit-equal logits. The folder has `model.safetensors`, `card.json` and,
    if `onnx`, `model.onnx`, whose logits are checked with onnxruntime. `load_model` reads it.
    The folder is there whole or, after an error, as it was before.

    Raises:
        NotFoundError: `run` is no run, or has no such checkpoint (yet).
        SchemaError: it is a run of another kind.
        OutputExistsError: `out` holds files (and `force` is off), or is the run.
        BackendUnavailableError: onnx or onnxruntime is not installed.
        PartlabError: the ONNX file would say something else than the network.
    """
    run, out = Path(run), Path(out)
    if onnx:
        need_onnx()
    described = read_run(run)
    model = load_model(run, checkpoint=checkpoint, device="cpu")
    with new_folder(out, force=force, inputs=[run]) as scratch:
        card = _write(scratch, run, described, model, checkpoint, onnx=onnx)
    log.info("%s: %s", out, card["what"])
    done, asked = card["training"]["epochs_done"], described["config"]["train"]["epochs"]
    if done < asked:
        log.warning("%s is not finished: %d of %d epochs are done", run, done, asked)
    return card


def _write(
    folder: Path,
    run: Path,
    described: dict[str, Any],
    model: Recognizer,
    checkpoint: str,
    *,
    onnx: bool,
) -> dict[str, Any]:
    plain = model.plain()
    save_weights(folder, Path(WEIGHTS).stem, plain.state_dict())
    card = card_of(run, described, model, plain, checkpoint)
    card["weights"] = {"file": WEIGHTS, "sha256": sha256_file(folder / WEIGHTS)}
    if onnx:
        card["onnx"] = write_onnx(plain, card["preprocessing"]["size"], folder / MODEL)
    write_json(folder / CARD, card)
    return card
