"""SAM and SAM 2 of transformers as prompt models: tiny ones with random weights, from a folder.

That real weights give good masks is not tested: they were not to be had.
"""

import json
import sys

import numpy as np
import pytest
import torch

from partlab.errors import BackendUnavailableError, DatasetError, NotFoundError
from partlab.masks import decode
from segmenter.prompt import Click, Prompts
from segmenter.prompt.sam import SamPrompter

pytest.importorskip("transformers")


def _heads(kind: str, width: int, patch: int):
    import transformers

    prompt = getattr(transformers, f"{kind}PromptEncoderConfig")(
        hidden_size=width, image_size=64, patch_size=patch, mask_input_channels=4
    )
    decoder = getattr(transformers, f"{kind}MaskDecoderConfig")(
        hidden_size=width, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2,
        iou_head_depth=2, iou_head_hidden_dim=8, attention_downsample_rate=1,
    )  # fmt: skip
    return {"prompt_encoder_config": prompt, "mask_decoder_config": decoder}


def sam(folder) -> None:
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamModel,
        SamProcessor,
        SamVisionConfig,
    )

    vision = SamVisionConfig(
        hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=64, patch_size=8, mlp_dim=16, num_pos_feats=4, window_size=0,
        global_attn_indexes=[0],
    )  # fmt: skip
    SamModel(SamConfig(vision_config=vision, **_heads("Sam", 8, 8))).save_pretrained(folder)
    square = {"height": 64, "width": 64}
    SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size=square)).save_pretrained(
        folder
    )


def sam2(folder) -> None:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2Model,
        Sam2Processor,
        Sam2VisionConfig,
    )

    body = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[8, 8, 8, 8], window_positional_embedding_background_size=[8, 8],
        global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=body, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    Sam2Model(Sam2Config(vision_config=vision, **_heads("Sam2", 32, 16))).save_pretrained(folder)
    Sam2Processor(Sam2ImageProcessor(size={"height": 64, "width": 64})).save_pretrained(folder)


@pytest.fixture(params=[sam, sam2], ids=["sam", "sam2"])
def prompter(request, tmp_path) -> SamPrompter:
    torch.manual_seed(0)
    request.param(tmp_path / "model")
    return SamPrompter.load(tmp_path / "model", "cpu")


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
            prompter._masks(prompter._look(pixels), pixels, Prompts(box=box).within(40, 60))[0]
            for box in [(0, 0, 10, 10), (30, 10, 60, 40)]
        )
    assert one.shape == (3, 40, 60)
    assert not np.allclose(one, other)


def test_without_transformers_it_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendUnavailableError) as caught:
        SamPrompter.load(tmp_path)
    assert caught.value.exit_code == 4
    assert caught.value.hint == "pip install 'partlab[sam]'"


def test_folders_that_hold_no_sam_are_told_apart(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="holds no model"):
        SamPrompter.load(tmp_path / "nothing")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(DatasetError, match="'vit', which is not SAM"):
        SamPrompter.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        SamPrompter.load(tmp_path)
