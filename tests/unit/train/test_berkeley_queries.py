"""Mask DINO Simple on Mask2Former: the matrix by hand, sizes, gradients, what it learns."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from partlab.errors import ConfigError
from train.models.berkeley.queries import Queried, class_logits, targets_of
from train.models.build import build_model, create_model
from train.models.start import fill
from train.settings import ModelConfig, QueriesConfig

pytest.importorskip("transformers")

CLASSES, PARTS = ("cat", "dog"), ("cat:head", "cat:tail", "dog:head")
SMALL = {"queries": 5, "layers": 1, "encoder": 1, "width": 32}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def pictures(number: int = 3) -> Tensor:
    return torch.rand(number, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def labels() -> Tensor:
    found = torch.zeros(3, 64, 64, dtype=torch.int32)
    found[0, 10:30, 10:30], found[1, 5:25, 30:60], found[2] = 1, 3, 4
    return found


def tiny(**masked: object):  # type: ignore[no-untyped-def]
    options = {"masked": {**SMALL, **masked}, "size": 64}
    return create_model("sim_small_resnet8", classes=CLASSES, parts=PARTS, **options)


def test_class_logits_by_hand() -> None:
    """MD-16: B = Q · M, and the mean over queries; "nothing" is left out."""
    parts = torch.tensor([[[1.0, 2.0, 3.0], [5.0, 0.0, -3.0]]])
    matrix = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert class_logits(parts, matrix).tolist() == [[4.0, 0.0]]
    nothing = torch.full((1, 2, 1), 99.0)
    assert tiny().classified(torch.cat([parts, nothing], dim=2)).tolist() == [[4.0, 0.0]]


@pytest.mark.parametrize("matrix", ["fixed", "learned"])
def test_the_matrix_is_fixed_or_learnt_from_there_on(matrix) -> None:
    """MD-17; an exported fixed one is not in the file."""
    model = tiny(matrix=matrix)
    assert model.matrix.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert model.matrix.requires_grad is (matrix == "learned")
    assert ("matrix" in model.state_dict()) is (matrix == "learned")


@pytest.mark.parametrize("layers", [1, 9])
def test_as_many_decoder_layers_as_asked(layers) -> None:
    assert len(tiny(layers=layers).queries.model.transformer_module.decoder.layers) == layers


@pytest.mark.parametrize("known", [[True, True, True], [True, False, False], [False] * 3])
def test_every_weight_learns_whatever_is_known(known) -> None:
    model = tiny(matrix="learned")
    model.expect(labels(), torch.tensor(known))
    outputs = model(pictures(), parts=True)
    (outputs.logits.square().sum() + outputs.losses["masks"]).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    assert outputs.losses["masks"].item() > 0 or not any(known)


def test_the_class_loss_reaches_the_picture_through_the_queries() -> None:
    """Attacks need it, in evaluation mode, without an operator to compile."""
    images = pictures().requires_grad_()
    F.cross_entropy(tiny().eval()(images), torch.tensor([0, 1, 0])).backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(1) > 0).float().mean() > 0.9


def test_once_trained_it_gives_parts_at_every_pixel_by_hand() -> None:
    model = tiny().eval()
    with torch.no_grad():
        outputs = model(pictures(), parts=True)
        assert torch.equal(outputs.logits, model(pictures()))
    assert [each.shape for each in outputs.parts] == [(3, 4, 64, 64)]
    assert outputs.losses == {}
    said = torch.full((1, 2, 4), -30.0)
    said[0, 0, 2], said[0, 1, 3] = 30.0, 30.0  # a dog's head; nothing
    masks = torch.full((1, 2, 4, 4), 30.0)
    masks[0, 0, :, 2:] = -30.0
    painted = model.painted(Queried(said, masks, None), torch.zeros(1, 3, 4, 4)).argmax(1)[0]
    assert painted.tolist() == [[3, 3, 0, 0]] * 4


def test_masks_to_learn_are_those_of_the_label_map() -> None:
    told = targets_of(labels()[:2])
    assert [each.tolist() for each in told.parts] == [[0], [2]]
    assert [int(each.sum()) for each in told.masks] == [400, 600]


def test_its_weights_come_back() -> None:
    model = tiny(matrix="learned")
    config = ModelConfig(
        kind="sim", backbone="small_resnet8", masked=QueriesConfig(**SMALL, matrix="learned")
    )
    fill(build_model(config, CLASSES, PARTS, size=64), model.state_dict(), "the same")
    places = [each.data_ptr() for each in model.state_dict().values() if each.numel()]
    assert len(set(places)) == len(places)


def test_a_class_without_parts_cannot_be_said() -> None:
    with pytest.raises(ConfigError, match="1 classes have no part"):
        create_model("sim_small_resnet8", classes=(*CLASSES, "bird"), parts=PARTS, masked=SMALL)


@pytest.mark.parametrize(("layers", "counted"), [(9, 44.0), (1, 31.4)])
def test_how_large_it_is_at_the_published_sizes(layers, counted) -> None:
    """ResNet-50, 40 parts, 11 classes; Hingun 2023 gives no count of it."""
    classes = [f"object {number}" for number in range(11)]
    parts = [f"object {number % 11}:part {number}" for number in range(40)]
    model = create_model(
        "sim_resnet50", classes=classes, parts=parts, size=224, gelu=False,
        masked={"layers": layers},
    )  # fmt: skip
    found = sum(each.numel() for each in model.parameters()) / 1e6
    assert found == pytest.approx(counted, rel=0.01)
