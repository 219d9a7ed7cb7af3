"""SAM and SAM 2 of transformers as prompt models: tiny ones with random weights, from a folder.

That real weights give good masks is not tested: they were not to be had.
"""

import json
import sys

import numpy as np
import pytest
import tiny_sam
import torch
from safetensors.torch import load_file, save_file

from partlab.errors import BackendUnavailableError, DatasetError, NotFoundError
from partlab.masks import decode
from segmenter.prompt import Click, Prompts
from segmenter.prompt.sam import KINDS, SamPrompter

pytest.importorskip("transformers")


@pytest.fixture(params=KINDS)
def prompter(request, tmp_path) -> SamPrompter:
    return SamPrompter.load(getattr(tiny_sam, request.param)(tmp_path / "model"), "cpu")


def test_clicks_and_boxes_are_answered_in_full_size_and_obeyed(prompter) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    asked = [
        Prompts((Click(10, 10),)),
        Prompts((Click(10, 10), Click(30, 20, positive=False), Click(50, 35))),
        Prompts((Click(12, 9),), box=(2, 3, 30, 25)),
    ]
    for prompts in asked:
        answer = prompter.answer(pixels, prompts, part="cat:head")
        mask = decode(answer.mask)
        assert mask.shape == (40, 60)
        assert prompts.obeyed(mask)
        assert (answer.way, answer.part) == ("sam", "cat:head")
        assert 0 <= answer.score <= 1
    assert (prompter.cache.hits, prompter.cache.misses) == (2, 1)  # the picture is encoded once
    assert prompter.answer(pixels, Prompts((Click(3, 3, positive=False),))) is None


def test_a_box_alone_is_a_prompt_and_says_where(prompter) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    with torch.inference_mode():
        one, other = (
            prompter._masks(prompter.look(pixels), pixels, Prompts(box=box).within(40, 60))[0]
            for box in [(0, 0, 10, 10), (30, 10, 60, 40)]
        )
    assert one.shape == (3, 40, 60)
    assert not np.allclose(one, other)


def test_it_is_called_after_its_folder_and_its_weights(tmp_path) -> None:
    folder = tiny_sam.sam(tmp_path / "vit-b")
    first = SamPrompter.load(folder, "cpu").called
    assert first.partition("@")[0] == "vit-b"
    assert SamPrompter.load(folder, "cpu").called == first
    tensors = load_file(folder / "model.safetensors")
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, folder / "model.safetensors", {"format": "pt"})
    assert SamPrompter.load(folder, "cpu").called != first


def test_without_transformers_it_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendUnavailableError) as caught:
        SamPrompter.load(tmp_path)
    assert caught.value.exit_code == 4
    assert caught.value.hint == "pip install 'partlab[sam]'"


def test_folders_that_hold_no_sam_are_told_apart(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        SamPrompter.load(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="holds no model"):
        SamPrompter.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(DatasetError, match="'vit', which is not SAM"):
        SamPrompter.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        SamPrompter.load(tmp_path)


def test_weights_that_lack_a_tensor_are_not_filled_with_chance(tmp_path) -> None:
    folder = tiny_sam.sam2(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in sorted(tensors) if name.startswith("mask_decoder"))
    save_file(
        {name: tensor for name, tensor in tensors.items() if name != gone},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(DatasetError, match=rf"lack 1 tensor: {gone}"):
        SamPrompter.load(folder)
