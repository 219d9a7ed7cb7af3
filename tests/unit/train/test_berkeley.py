"""Part models of Berkeley: counts of the papers, what each classifier reads, hand-made examples."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from partlab.errors import BackendUnavailableError, ConfigError, NotFoundError
from train.models.base import Design
from train.models.berkeley.boxes import centroid_loss, soft_boxes
from train.models.berkeley.pixel import counted_pixels, hardened, part_to_class
from train.models.berkeley.pooling import probabilities
from train.models.build import build_model, create_model
from train.models.start import fill
from train.settings import ModelConfig, ReadsConfig

pytest.importorskip("segmentation_models_pytorch")

KINDS = ("pooling", "wbbox", "2heads_e", "2heads_d", "pixel", "mask")
PARTS = ("cat:head", "cat:tail", "dog:head")
CLASSES = ("cat", "dog")
PARTIMAGENET = [f"object {part % 11}:part {part}" for part in range(40)]
SUPER = [f"object {number}" for number in range(11)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def pictures(number: int = 2, side: int = 64) -> Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))


def tiny(kind: str, **options: object):  # type: ignore[no-untyped-def]
    reads = {"decoder": 16, "size": 64, **options}
    return create_model(f"{kind}_small_resnet8", classes=CLASSES, parts=PARTS, **reads)


def millions(model: nn.Module) -> float:
    return sum(each.numel() for each in model.parameters()) / 1e6


@pytest.mark.parametrize(
    ("kind", "published"),
    [
        ("pixel", 26.7),  # no weights but DeepLabV3+'s: Hingun 2023 Table 2.2
        ("pooling", 26.8),  # Table 2.3's DeepLabV3+
        ("wbbox", 26.8),
    ],
)
def test_as_many_parameters_as_published(kind, published) -> None:
    """MD-11, on PartImageNet's 40 parts and 11 classes, within 2 percent."""
    model = create_model(
        f"{kind}_resnet50", classes=SUPER, parts=PARTIMAGENET, size=224, gelu=False
    )
    assert millions(model) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_with_every_weight_and_leaves_norms_alone(kind) -> None:
    model = tiny(kind)
    outputs = model(pictures(), parts=True)
    assert outputs.logits.shape == (2, 2)
    assert [each.shape for each in outputs.parts] == [(2, 4, 64, 64)]
    (outputs.logits.square().sum() + outputs.parts[0].square().sum()).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        everything, logits = model(pictures(), parts=True), model(pictures())
        plain = model.plain()(pictures())
    assert torch.equal(everything.logits, logits)
    assert torch.equal(plain, logits)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["pooling", "wbbox", "pixel"])
def test_these_classifiers_see_nothing_but_the_masks(kind) -> None:
    """With the masks held, another picture changes nothing."""
    model = tiny(kind).eval()
    found = model.segmented(model.normalise(pictures()))
    first, second = (model.classified(found, each) for each in (pictures(), 1 - pictures()))
    assert torch.equal(first, second)
    swapped = found._replace(masks=found.masks.flip(0))
    assert torch.allclose(model.classified(swapped, pictures()), first.flip(0), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_loss_reaches_every_part_of_the_picture(kind) -> None:
    """Attacks need it: no step on the way has a slope of 0."""
    images = pictures().requires_grad_()
    F.cross_entropy(tiny(kind).eval()(images), torch.tensor([0, 1])).backward()
    assert images.grad is not None
    touched = images.grad.abs().amax(1) > 0
    assert touched.float().mean() > 0.9


def test_without_background_its_channel_is_not_read() -> None:
    masks = torch.randn(2, 4, 8, 8)
    whole, bare = (probabilities(masks, background=each) for each in (True, False))
    assert torch.equal(whole[:, 1:], bare)
    model = tiny("pooling", reads={"background": False})
    assert model.judge[1].in_channels == 3
    assert tiny("pooling").judge[1].in_channels == 4


def test_soft_boxes_of_a_square_by_hand() -> None:
    """A part that fills columns 2…3 and rows 4…7 of 8 x 8."""
    masks = torch.zeros(1, 2, 8, 8)
    masks[:, 0] = 30
    masks[:, 1, 4:8, 2:4] = 60
    ((score, x, y, wide, high),) = soft_boxes(masks, norm_img=False)[0].tolist()
    assert score == pytest.approx(60, abs=1e-3)
    assert (x, y) == pytest.approx((2.5, 5.5), abs=1e-3)
    assert (wide, high) == pytest.approx((0.5, 1.25**0.5), abs=1e-3)
    ((_, x, y, wide, high),) = soft_boxes(masks, norm_img=True)[0].tolist()
    assert (x, y) == pytest.approx((2.5 / 4 - 1, 5.5 / 4 - 1), abs=1e-3)
    assert (wide, high) == pytest.approx((0.125, 1.25**0.5 / 4), abs=1e-3)


def test_boxes_of_a_part_at_one_pixel_have_a_slope() -> None:
    masks = torch.full((1, 2, 8, 8), -200.0)
    masks[0, 1, 3, 3] = 200.0
    masks[0, 0] = 0
    masks.requires_grad_()
    soft_boxes(masks, norm_img=True).sum().backward()
    assert torch.isfinite(masks.grad).all()


def test_pixel_adds_up_the_parts_of_each_object_by_hand() -> None:
    model = tiny("pixel").eval()
    masks = torch.zeros(1, 4, 2, 2)
    masks[0, 0], masks[0, 1], masks[0, 2], masks[0, 3] = 9.0, 1.0, 2.0, 4.0
    masks[0, 3, 0, 0] = 0.0
    found = model.segmented(model.normalise(pictures(1)))._replace(masks=masks)
    assert model.classified(found, pictures(1)).tolist() == [[3.0, 3.0]]


def test_the_part_to_class_matrix() -> None:
    """MD-16: background left out on both sides."""
    table = part_to_class(Design(CLASSES, PARTS, 4))
    assert table.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert part_to_class(Design(CLASSES, (), 3)).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ConfigError, match="foreground alone"):
        part_to_class(Design(("a", "b", "c"), (), 2))
    with pytest.raises(ConfigError, match=r"1 classes have no part.*bird"):
        part_to_class(Design((*CLASSES, "bird"), PARTS, 4))


def test_two_heads_leave_the_masks_out_once_trained() -> None:
    """X-12: the same logits before and after, with fewer weights and operations."""
    model = tiny("2heads_e").eval()
    plain = model.plain()
    assert plain.kind == "headed"
    with torch.no_grad():
        assert torch.equal(plain(pictures()), model(pictures(), parts=True).logits)
    assert millions(plain) < millions(model)
    again = build_model(
        ModelConfig(kind="headed", backbone="small_resnet8", decoder=16), CLASSES, (), size=64
    )
    fill(again, plain.state_dict(), "the same")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18", "resnet34.a1_in1k"])
def test_encoders_of_the_library_and_of_timm(encoder) -> None:
    model = create_model(f"pixel_{encoder}", classes=CLASSES, parts=PARTS, size=64)
    with torch.no_grad():
        assert model.eval()(pictures(), parts=True).parts[0].shape == (2, 4, 64, 64)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_weights_of_timm_come_to_the_encoder(encoder, tmp_path) -> None:
    import timm
    from safetensors.torch import save_file

    state = timm.create_model("resnet18").state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    model = create_model(
        f"pixel_{encoder}",
        classes=CLASSES,
        parts=PARTS,
        size=64,
        weights=str(tmp_path / "weights.safetensors"),
    )
    body = getattr(model.backbone, "model", model.backbone)
    assert torch.equal(body.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_reads_what_it_is_told() -> None:
    assert tiny("pooling", reads={"pool": 2, "norm": True}).judge[3].kernel_size == (2, 2)
    flat = tiny("wbbox", reads={"score": False, "norm_img": True})
    assert flat.judge[2].num_features == 3 * 4
    assert tiny("wbbox", reads={"conv1d": True}).judge[2].num_features == 3 * 10
    for pixels in ("mean", "logits_mask", "softmax_mask"):
        assert tiny("pixel", reads={"pixels": pixels}).eval()(pictures()).shape == (2, 2)
    assert tiny("mask", reads={"picture": True}).judge.conv1.in_channels == 7
    assert set(ReadsConfig.model_fields) == {
        "pool", "norm", "background", "norm_img", "score", "conv1d", "centroid", "pixels", "hard",
        "picture",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("pooling_resnet500", {}, "resnet500"),
        ("pooling_small_resnet8", {"size": 40}, "data.size=32"),
        ("pooling_small_resnet8", {"size": 64, "reads": {"pool": 65}}, "cannot be shrunk"),
        ("2heads_d_small_resnet8", {"size": 16}, "too small"),
        ("pooling_vit_tiny_patch16_224", {}, "cannot be put"),
    ],
)
def test_what_cannot_be_built_is_told(name, options, says) -> None:
    with pytest.raises((ConfigError, NotFoundError)) as caught:
        create_model(name, classes=CLASSES, parts=PARTS, **options)
    assert says in f"{caught.value.message} {caught.value.hint}"


def test_the_line_that_gets_the_library(monkeypatch) -> None:
    for name in [each for each in sys.modules if each.startswith("segmentation_models_pytorch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(BackendUnavailableError, match="not installed") as caught:
        tiny("pooling")
    assert caught.value.hint == "pip install 'partlab[part-models]'"
    assert caught.value.exit_code == 4


def test_the_centroid_loss_by_hand_and_not_with_x_for_y() -> None:
    """The released code turns its target masks about, and so compares x with y."""
    labels = torch.zeros(2, 8, 8, dtype=torch.int32)
    labels[0, 4:8, 2:4], labels[1] = 1, 3  # the second one is not known
    masks = torch.full((2, 3, 8, 8), -30.0)
    masks[0, 1, 4:8, 2:4], masks[:, 0] = 60.0, 0.0
    assert centroid_loss(masks, labels).item() == pytest.approx(0, abs=1e-4)
    turned = centroid_loss(masks.transpose(2, 3), labels).item()
    assert turned == pytest.approx(2 * (3 / 4) ** 2, abs=1e-3)  # 3 of 8 pixels off, both ways
    assert centroid_loss(masks, torch.full_like(labels, 3)).item() == 0  # nothing known


def test_centres_are_learnt_beside_the_masks() -> None:
    model = tiny("wbbox", reads={"centroid": True})
    labels = torch.zeros(2, 64, 64, dtype=torch.int32)
    labels[:, 10:20, 10:20] = 1
    model.expect(labels, torch.tensor([True, False]))
    outputs = model(pictures(), parts=True)
    assert outputs.losses["centroid"].item() > 0
    assert torch.autograd.grad(outputs.losses["centroid"], outputs.parts[0])[0][0].abs().sum() > 0
    assert model.eval()(pictures(), parts=True).losses == {}
    plain = tiny("wbbox")
    plain.expect(labels, torch.tensor([True, True]))
    assert plain(pictures(), parts=True).losses == {}


def test_hard_masks_are_hard_and_still_have_a_slope() -> None:
    masks = torch.randn(2, 4, 8, 8, requires_grad=True)
    hard = hardened(F.softmax(masks, dim=1))
    assert set(hard.unique().tolist()) == {0, 1}
    assert torch.equal(hard.argmax(1), masks.argmax(1))
    (gradient,) = torch.autograd.grad(hard[:, 0].sum(), masks)
    (soft,) = torch.autograd.grad(F.softmax(masks, dim=1)[:, 0].sum(), masks)
    assert torch.equal(gradient, soft)


def test_hard_pixels_are_counted_by_hand() -> None:
    """Three pixels of a cat's parts, one of a dog's, the rest background."""
    masks = torch.zeros(1, 4, 4, 4)
    masks[0, 0] = 5.0
    masks[0, 1, 0, :2], masks[0, 2, 1, 0], masks[0, 3, 2, 0] = 9.0, 9.0, 9.0
    table = part_to_class(Design(CLASSES, PARTS, 4))
    logits = counted_pixels(masks, table)
    assert logits.softmax(1)[0].tolist() == pytest.approx([4 / 6, 2 / 6])
    model = tiny("pixel", reads={"hard": True}).eval()
    found = model.segmented(model.normalise(pictures(1)))._replace(masks=masks)
    assert torch.equal(model.classified(found, pictures(1)), logits)


@pytest.mark.parametrize(("background", "channels"), [(True, 4), (False, 3)])
def test_groundtruth_reads_the_masks_it_is_told(background, channels) -> None:
    """The released code drops the first part, too, when it drops the background."""
    model = tiny("groundtruth", reads={"background": background}).eval()
    labels = torch.zeros(2, 64, 64, dtype=torch.int32)
    labels[0, 8:32], labels[1] = 1, 4
    read = []
    model.backbone.conv1.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    model.expect(labels, torch.tensor([True, True]))
    with torch.no_grad():
        first, other = model(pictures()), model(1 - pictures())
        assert torch.equal(first, other)  # an attack on the picture changes nothing
        assert read[0].shape == (2, channels, 64, 64)
        assert torch.equal(read[0][0, int(background)] == 1, labels[0] == 1)
        assert not read[0][1].any()
        model.expect(labels.flip(0), torch.tensor([True, True]))
        assert torch.allclose(model(pictures()), first.flip(0), atol=1e-5)
        with pytest.raises(ConfigError, match="none came with the pictures"):
            model(pictures(3))
    shown = tiny("groundtruth", reads={"picture": True}).eval()
    shown.expect(labels, torch.tensor([True, True]))
    with torch.no_grad():
        assert not torch.equal(shown(pictures()), shown(1 - pictures()))
