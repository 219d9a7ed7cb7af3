"""Tiny SAM models with random weights, written into a folder as transformers writes them."""

from pathlib import Path
from typing import Any

import torch


def sam(folder: Path) -> Path:
    """SAM."""
    import transformers as t

    vision = t.SamVisionConfig(
        hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=64, patch_size=8, mlp_dim=16, num_pos_feats=4, window_size=0,
        global_attn_indexes=[0],
    )  # fmt: skip
    torch.manual_seed(0)
    t.SamModel(t.SamConfig(vision_config=vision, **_heads("Sam", 8, 8))).save_pretrained(folder)
    pictures = t.SamImageProcessor(size={"longest_edge": 64}, pad_size=_SQUARE)
    t.SamProcessor(pictures).save_pretrained(folder)
    return folder


def sam2(folder: Path) -> Path:
    """SAM 2, its image model."""
    import transformers as t

    torch.manual_seed(0)
    made = t.Sam2Model(t.Sam2Config(vision_config=_vision(), **_heads("Sam2", 32, 16)))
    made.save_pretrained(folder)
    t.Sam2Processor(t.Sam2ImageProcessor(size=_SQUARE)).save_pretrained(folder)
    return folder


def sam2_video(folder: Path) -> Path:
    """SAM 2 as it is published: the video model, with a memory that pictures do not need."""
    import transformers as t

    memory = {f"memory_attention_{name}": 1 for name in ("num_layers", "num_attention_heads")}
    sizes = ("memory_attention_hidden_size", "memory_encoder_hidden_size",
             "mask_downsampler_embed_dim", "memory_fuser_embed_dim",
             "memory_fuser_intermediate_dim")  # fmt: skip
    config = t.Sam2VideoConfig(
        vision_config=_vision(), image_size=64, memory_attention_downsample_rate=1,
        memory_attention_feed_forward_hidden_size=16, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_output_channels=16, **memory, **dict.fromkeys(sizes, 32),
        **_heads("Sam2Video", 32, 16),
    )  # fmt: skip
    torch.manual_seed(0)
    t.Sam2VideoModel(config).save_pretrained(folder)
    video = t.Sam2VideoVideoProcessor(size=_SQUARE)
    t.Sam2VideoProcessor(t.Sam2ImageProcessor(size=_SQUARE), video).save_pretrained(folder)
    return folder


_SQUARE = {"height": 64, "width": 64}


def _vision() -> Any:
    import transformers as t

    body = t.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[8, 8, 8, 8], window_positional_embedding_background_size=[8, 8],
        global_attention_blocks=[3],
    )  # fmt: skip
    return t.Sam2VisionConfig(
        backbone_config=body, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip


def _heads(kind: str, width: int, patch: int) -> dict[str, Any]:
    import transformers

    prompt = getattr(transformers, f"{kind}PromptEncoderConfig")(
        hidden_size=width, image_size=64, patch_size=patch, mask_input_channels=4
    )
    decoder = getattr(transformers, f"{kind}MaskDecoderConfig")(
        hidden_size=width, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2,
        iou_head_depth=2, iou_head_hidden_dim=8, attention_downsample_rate=1,
    )  # fmt: skip
    return {"prompt_encoder_config": prompt, "mask_decoder_config": decoder}
