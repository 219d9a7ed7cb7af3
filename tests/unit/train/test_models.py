"""Every tested backbone with every kind: contract of the outputs, counts of the papers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import train
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from train.models.backbones import BACKBONES
from train.models.base import Outputs, Recognizer
from train.models.build import build_model, create_model
from train.models.flops import flops_of
from train.models.kinds import kinds
from train.models.mpm import MPM, Bypass
from train.models.vanilla import Vanilla
from train.settings import ModelConfig

KINDS = ("vanilla", "mpm", "two_stage")
PARTS = ("cat:head", "cat:tail", "dog:head")


def pictures(number: int = 2, side: int = 64) -> Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def test_the_kinds_are_registered() -> None:
    assert set(KINDS) <= set(kinds.names())


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", ["mpm", "two_stage"])
def test_every_kind_with_parts_on_every_backbone(kind: str, backbone: str) -> None:
    """Shapes, equal logits by all ways, a gradient for every parameter, and BN left alone."""
    model = create_model(f"{kind}_{backbone}", classes=5, parts=PARTS, size=64)
    images = pictures()
    outputs = model(images, parts=True)
    assert outputs.logits.shape == (2, 5)
    sides = [64 // stride for stride in model.part_strides]
    assert [each.shape for each in outputs.parts] == [(2, model.part_channels, s, s) for s in sides]
    sum(each.square().sum() for each in (outputs.logits, *outputs.parts)).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    counts = {int(n) for k, n in model.named_buffers() if k.endswith("num_batches_tracked")}
    assert counts <= {1}  # no layer was computed twice
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        everything, logits, plain = model(images, parts=True), model(images), model.plain()(images)
    assert torch.equal(everything.logits, logits)
    assert torch.equal(plain, logits)
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_plain_mpm_is_the_vanilla_network_on_every_backbone(backbone: str) -> None:
    """Same parameters, same operations as a vanilla model of that backbone (MD-03)."""
    mpm = create_model(f"mpm_{backbone}", classes=5, parts=PARTS, size=64).eval()
    vanilla = create_model(f"vanilla_{backbone}", classes=5, size=64).eval()
    vanilla.load_state_dict(mpm.plain().state_dict())
    images = pictures()
    with torch.no_grad():
        logits, outputs = vanilla(images), vanilla(images, parts=True)
        assert torch.equal(mpm.plain()(images), logits)
        assert torch.equal(vanilla.plain()(images), logits)
    assert torch.equal(outputs.logits, logits)
    assert outputs.parts == ()
    alone = operations(vanilla, images)
    assert operations(mpm.plain(), images) == operations(mpm, images) == alone


def operations(model: nn.Module, images: Tensor) -> list[str]:
    """Every operation torch dispatches in a forward pass, in order."""
    from torch.utils._python_dispatch import TorchDispatchMode

    called = []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            called.append(str(func))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Listen():
        model(images)
    return called


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("top_down", [True, False])
def test_levels_count_from_the_coarsest_and_build_only_what_they_need(
    levels: int, top_down: bool
) -> None:
    model = create_model(
        "mpm_small_resnet8", classes=2, parts=PARTS, levels=levels, top_down=top_down
    )
    outputs = model(pictures(), parts=True)
    assert model.part_strides == (4, 8, 16)[-levels:]
    assert model.finest_stride == 4
    assert [each.shape[-1] for each in outputs.parts] == [16, 8, 4][-levels:]
    sum(each.square().sum() for each in (outputs.logits, *outputs.parts)).backward()
    assert all(each.grad is not None for each in model.parameters())


def test_the_bypass_is_the_formula() -> None:
    """MD-04: reduce each; add what the coarser one says, enlarged; then a head at each."""
    bypass = Bypass((8, 16, 32), 5, top_down=True).eval()
    features = [torch.rand(2, 2**level * 8, 8 // 2**level, 8 // 2**level) for level in range(3)]
    fine, middle, coarse = (bypass.compact[level](features[level]) for level in range(3))
    middle = middle + F.interpolate(
        bypass.ups[1](coarse), scale_factor=2, mode="bilinear", align_corners=False
    )
    fine = fine + F.interpolate(
        bypass.ups[0](middle), scale_factor=2, mode="bilinear", align_corners=False
    )
    wanted = [bypass.heads[level](each) for level, each in enumerate((fine, middle, coarse))]
    found = bypass(features)
    assert [each.shape for each in found] == [(2, 5, 8, 8), (2, 5, 4, 4), (2, 5, 2, 2)]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


def test_top_down_is_how_coarse_features_reach_fine_outputs() -> None:
    images = pictures()
    for top_down in (True, False):
        model = create_model("mpm_small_resnet8", classes=2, parts=PARTS, top_down=top_down)
        assert isinstance(model, MPM)
        fine = model.eval()(images, parts=True).parts[0].sum()
        coarse = list(model.bypass.compact[2].parameters())
        reached = torch.autograd.grad(fine, coarse, allow_unused=True)
        assert all((each is not None) == top_down for each in reached)


@pytest.mark.parametrize(
    ("targets", "channels", "names"),
    [("parts", 4, PARTS), ("objects", 3, ()), ("foreground", 2, ())],
)
def test_channels_follow_from_what_pixels_are_asked(
    targets: str, channels: int, names: tuple[str, ...]
) -> None:
    config = ModelConfig(kind="mpm", backbone="small_resnet8")
    model = build_model(config, ["cat", "dog"], PARTS, targets=targets)  # type: ignore[arg-type]
    assert (model.part_channels, model.parts) == (channels, names)
    assert [each.shape[1] for each in model(pictures(), parts=True).parts] == [channels] * 3


def test_a_vanilla_model_has_no_part_outputs() -> None:
    model = create_model("vanilla_small_resnet8", classes=["cat", "dog"], parts=PARTS)
    assert (model.classes, model.parts, model.part_channels) == (("cat", "dog"), (), 0)
    outputs = model(pictures(), parts=True)
    assert isinstance(outputs, Outputs)
    assert outputs.parts == ()
    assert model.finest_stride == 4


def test_models_of_one_backbone_begin_alike() -> None:
    torch.manual_seed(3)
    vanilla = create_model("vanilla_small_resnet8", classes=3)
    torch.manual_seed(3)
    mpm = create_model("mpm_small_resnet8", classes=3, parts=PARTS)
    ours = mpm.backbone.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in vanilla.backbone.state_dict().items())


def test_the_counts_of_the_papers() -> None:
    """MD-01, MD-03, MD-04: 25.6 M, of which nothing is added for inference; 4.52 M beside."""
    mpm = create_model("mpm_resnet50", classes=1000, parts=3310)
    assert isinstance(mpm, MPM)
    assert parameters(mpm.plain()) == 25_557_032
    assert parameters(mpm.bypass) == pytest.approx(4.52e6, rel=0.001)
    assert [each.shape[1:] for each in mpm(pictures(), parts=True).parts] == [
        (3311, side, side) for side in (8, 4, 2)
    ]


def test_the_two_stage_model_costs_what_the_paper_says() -> None:
    """MD-02: 60.9 M; the layers of the released code come to 60.54 M."""
    model = create_model("two_stage_resnet50", classes=1000, parts=3310)
    assert parameters(model) == pytest.approx(60.9e6, rel=0.01)
    assert model.plain() is model


def test_resnext_costs_what_the_paper_says() -> None:
    """MD-05, 200 classes at 224 pixels: 23.4 M parameters, 4.3 G multiply-adds."""
    model = create_model("vanilla_resnext50_32x4d", classes=200)
    assert parameters(model) == pytest.approx(23.4e6, rel=0.005)
    assert flops_of(model, 224) / 2 == pytest.approx(4.3e9, rel=0.02)


def test_the_bypass_costs_little_and_only_when_asked() -> None:
    """robustness D1 at 224 pixels: 8.178 GFLOP, and 1.50 more with part outputs."""
    mpm = create_model("mpm_resnet50", classes=1000, parts=3310)
    alone = flops_of(mpm, 224)
    assert alone == flops_of(mpm.plain(), 224)
    assert alone == pytest.approx(8.178e9, rel=0.001)
    assert flops_of(mpm, 224, parts=True) - alone == pytest.approx(1.50e9, rel=0.01)


def test_the_small_nets_are_small() -> None:
    model = create_model("mpm_small_resnet16", classes=14, parts=50)
    assert parameters(model.plain()) == pytest.approx(0.31e6, rel=0.02)
    assert parameters(model) == pytest.approx(0.33e6, rel=0.02)
    assert [each.shape[-1] for each in model(pictures(), parts=True).parts] == [16, 8, 4]


@pytest.mark.parametrize(
    "backbone", ["resnet18", "resnext50_32x4d", "regnety_004", "mobilenetv4_conv_small"]
)
def test_gelu_is_in_place_of_every_relu(backbone: str) -> None:
    """MD-01."""
    for gelu in (True, False):
        model = create_model(f"vanilla_{backbone}", classes=2, gelu=gelu)
        kinds = [type(module) for module in model.modules()]
        assert (nn.GELU in kinds, nn.ReLU in kinds) == (gelu, not gelu)


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "mobilenetv3_small_100"])
def test_networks_with_other_activations_keep_them(backbone: str) -> None:
    kept = [
        [
            type(module)
            for module in create_model(f"vanilla_{backbone}", classes=2, gelu=gelu).modules()
        ]
        for gelu in (True, False)
    ]
    assert kept[0] == kept[1]


def test_new_parameters_are_the_classifier_and_the_auxiliary_layers() -> None:
    model = create_model("mpm_resnet18", classes=4, parts=PARTS)
    new = {id(each) for each in model.new_parameters()}
    names = {name for name, each in model.named_parameters() if id(each) in new}
    assert {name.split(".")[0] for name in names} == {"backbone", "bypass"}
    assert {n for n in names if n.startswith("backbone")} == {
        "backbone.fc.weight",
        "backbone.fc.bias",
    }
    assert len(names) == 2 + len(list(model.bypass.parameters()))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mpm", "two_stage"])
def test_a_model_compiles_in_one_piece(kind: str) -> None:
    model = create_model(f"{kind}_small_resnet8", classes=2, parts=PARTS).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    images = pictures()
    with torch.no_grad():
        ours, theirs = model(images, parts=True), compiled(images, parts=True)
        assert torch.allclose(compiled(images), ours.logits, atol=1e-6)
    assert torch.allclose(theirs.logits, ours.logits, atol=1e-6)
    for a, b in zip(theirs.parts, ours.parts, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_swin_takes_the_size_of_the_pictures() -> None:
    model = create_model("mpm_swin_tiny_patch4_window7_224", classes=2, parts=PARTS, size=96)
    assert [each.shape[-1] for each in model(pictures(side=96), parts=True).parts] == [12, 6, 3]


def test_the_normalisation_is_inside() -> None:
    """RK-03: the model takes colours in 0…1 and keeps its constants with its weights."""
    model = create_model("vanilla_small_resnet8", classes=2).eval()
    images = pictures()
    inside = (images - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    assert torch.equal(model(images), model.backbone(inside))
    assert {"normalise.mean", "normalise.std"} <= model.state_dict().keys()
    with pytest.raises(ConfigError, match=r"torch\.uint8"):
        model((images * 255).to(torch.uint8))


@pytest.mark.parametrize(
    ("name", "error", "said", "hint"),
    [
        ("mpn_resnet50", UnknownNameError, "unknown model 'mpn_resnet50'", "mpm_resnet50"),
        ("resnet18", UnknownNameError, "unknown model 'resnet18'", "vanilla_resnet18"),
        ("detr", NotFoundError, "unknown model 'detr'", "KIND_BACKBONE, such as mpm_resnet18"),
        ("mpm_resnet5", UnknownNameError, "unknown backbone 'resnet5'", "resnet50"),
        (
            "mpm_vit_tiny_patch16_224",
            ConfigError,
            "no feature maps at three resolutions",
            "resnet18",
        ),
    ],
)
def test_unknown_names_and_nets_without_hierarchy(
    name: str, error: type[Exception], said: str, hint: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        create_model(name, classes=3, parts=PARTS)
    assert hint in str(caught.value.hint)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mpm_small_resnet8", {"classes": 3}, "needs at least one part"),
        ("two_stage_small_resnet8", {"classes": 3}, "needs at least one part"),
        ("vanilla_small_resnet8", {"classes": 1}, "two classes or more, not 1"),
        ("vanilla_small_resnet8", {"classes": ["cat", "cat"]}, "class 'cat' is named twice"),
        ("mpm_small_resnet8", {"classes": 2, "parts": ["a:b", "a:b"]}, "part 'a:b' is named twice"),
        ("mpm_small_resnet8", {"classes": 2, "parts": 2, "level": 2}, "unknown setting 'level'"),
        ("mpm_small_resnet8", {"classes": 2, "parts": 2, "levels": 4}, "levels"),
    ],
)
def test_what_does_not_fit_is_told(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        create_model(name, **options)  # type: ignore[arg-type]


def test_the_room_offers_its_models_without_importing_torch_first() -> None:
    assert train.create_model is create_model
    assert issubclass(train.Recognizer, Recognizer)
    assert isinstance(create_model("vanilla_small_resnet8", classes=2), Vanilla)
