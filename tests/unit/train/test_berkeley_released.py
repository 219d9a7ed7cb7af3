"""Released checkpoints by their tensors' names: made-up ones of the same keys and shapes."""

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.models.berkeley.released import fill_released, ours
from train.models.build import create_model

smp = pytest.importorskip("segmentation_models_pytorch")
CLASSES, PARTS = ("a", "b", "c"), ("a:x", "b:y", "c:z", "c:w")
K, C = 5, 3


class Released(nn.Module):
    """The layout of the authors' classifiers, written from their published names."""

    def __init__(self, core: nn.Module | None, head: nn.Module | None = None) -> None:
        super().__init__()
        self._base_model = smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=K)
        if core is not None:
            self.core_model = core
        if head is not None:
            self._base_model.classification_head = head
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6])[None, :, None, None])
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4])[None, :, None, None])
        self.register_buffer("bg_conf_thres", torch.zeros(K - 1))


def pooled(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4), nn.Conv2d(channels, 5 * channels, 4), nn.BatchNorm2d(5 * channels),
        nn.ReLU(), nn.Flatten(), nn.Linear(5 * channels, 50), nn.BatchNorm1d(50), nn.ReLU(),
        nn.Linear(50, C),
    )  # fmt: skip


def boxed(numbers: int, first: nn.Module) -> nn.Module:
    wide = (K - 1) * numbers
    return nn.Sequential(
        first, nn.Flatten(), nn.BatchNorm1d(wide), nn.Linear(wide, 50), nn.ReLU(),
        nn.BatchNorm1d(50), nn.Linear(50, C),
    )  # fmt: skip


def headed() -> nn.Module:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4), nn.BatchNorm2d(512), nn.ReLU(), nn.Conv2d(512, 64, 4),
        nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(64, C),
    )  # fmt: skip


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {f"module.{name}": each.contiguous() for name, each in network.state_dict().items()}


@pytest.mark.parametrize(
    ("kind", "reads", "made"),
    [
        ("pooling", {}, lambda: Released(pooled(K))),
        ("pooling", {"background": False}, lambda: Released(pooled(K - 1))),
        ("wbbox", {}, lambda: Released(boxed(5, nn.Identity()))),
        ("wbbox", {"conv1d": True}, lambda: Released(boxed(10, nn.Conv1d(5, 10, 1)))),
        ("2heads_e", {}, lambda: Released(None, headed())),
    ],
)
def test_every_tensor_finds_its_place(kind, reads, made, tmp_path) -> None:
    torch.manual_seed(0)
    released = made().eval()
    save_file(state_of(released), tmp_path / "weights.safetensors")
    options = {"size": 64, "gelu": False, "reads": reads}
    model = create_model(f"{kind}_resnet18", classes=CLASSES, parts=PARTS, **options).eval()
    fill_released(model, tmp_path / "weights.safetensors")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pixels = (images - released.mean) / released.std
        said = released._base_model(pixels)
        masks, logits = said if kind == "2heads_e" else (said, None)
        outputs = model(images, parts=True)
        assert torch.allclose(outputs.parts[0], masks, atol=1e-5)
        if kind == "pooling":
            shown = masks.softmax(1)[:, 0 if reads == {} else 1 :]
            logits = released.core_model(shown)
        if logits is not None:
            assert torch.allclose(outputs.logits, logits, atol=1e-5)


def test_a_plain_classifier_too(tmp_path) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", num_classes=C).eval()
    state = {f"module._base_model.{name}": each for name, each in network.state_dict().items()}
    model = create_model("vanilla_resnet18", classes=CLASSES, gelu=False).eval()
    mean = {f"module.{name}": getattr(model.normalise, name)[None] for name in ("mean", "std")}
    save_file({**state, **mean}, tmp_path / "weights.safetensors")
    fill_released(model, tmp_path / "weights.safetensors")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), network(model.normalise(images)))


def test_another_kind_is_refused() -> None:
    state = {"module.core_model.1.weight": torch.zeros(1)}
    with pytest.raises(ConfigError, match="no place in a model of kind '2heads_e'"):
        ours(state, "2heads_e")
    with pytest.raises(ConfigError, match="cannot be read as a model of kind 'mpm'"):
        ours(state, "mpm")


def test_as_many_masks_as_the_checkpoint(tmp_path) -> None:
    save_file(state_of(Released(pooled(K))), tmp_path / "weights.safetensors")
    model = create_model("pooling_resnet18", classes=CLASSES, parts=PARTS[:3], size=64, gelu=False)
    with pytest.raises(ConfigError, match="do not fit a pooling_resnet18"):
        fill_released(model, tmp_path / "weights.safetensors")
