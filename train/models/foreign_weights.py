"""Weights of others: renamed as timm names them."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from partlab.errors import ConfigError

Pairs = Sequence[tuple[str, str | None]]
MEAN, STD = "normalisation.mean", "normalisation.std"
KEYS: dict[str, Pairs] = {
    "timm": (),
    "pinpp": (
        ("segmenter.", ""),
        ("classifer.2.", "fc."),
        *((f"{name}{level}.", None) for name in ("cp", "segmenter_head") for level in (1, 2, 3)),
        ("up_layer1.", None),
        ("up_layer2.", None),
    ),
    "sitawarin": (("0.", "normalisation."), ("1.", "")),
}
"""Prefixes of a release's tensors -> timm's; null for tensors that recognition does not use.

`pinpp` is PartImageNet++'s MPM of ResNet layout (its plain models have timm's own names);
`sitawarin` is the classifier without parts of adv-part-model, whose first layer normalises.
"""
BILINEAR = ("sitawarin",)
"""Releases whose pictures were resized so; their code names no way, and that is torchvision's."""


def renamed(state: Mapping[str, Tensor], pairs: Pairs) -> tuple[dict[str, Tensor], list[str]]:
    """The state in timm's names (wrappers' `module.` taken off), and the names left out.

    Raises:
        ConfigError: two tensors get one name.
    """
    named: dict[str, Tensor] = {}
    left_out = []
    for key, value in state.items():
        name = key.removeprefix("module.")
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        if new is None:
            left_out.append(key)
        elif (name := new + name.removeprefix(old)) in named:
            raise ConfigError(f"two tensors become {name}", hint="correct keys in card.json")
        else:
            named[name] = value
    return named, left_out
