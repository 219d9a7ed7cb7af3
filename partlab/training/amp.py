"""Which precision a network runs in: one rule for training, validation and prediction."""

import torch

from partlab.training.settings import Amp

_BF16 = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")  # the last two: ARM


def uses_bf16(device: torch.device, amp: Amp) -> bool:
    """Whether `amp` means bf16 there: `auto` does on GPUs that calculate in it."""
    return amp == "bf16" or (amp == "auto" and device.type == "cuda" and has_bf16(device))


def autocast(device: torch.device, amp: Amp) -> torch.autocast:
    """The precision of everything inside, forward passes and losses."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(device, amp))


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16, or only imitates them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return True  # not known, so not complained of
    ask = getattr(torch.cpu, "get_capabilities", None)
    able: dict[str, bool] = ask() if ask else {}
    return not able or any(able.get(name) for name in _BF16)


def slow_bf16(device: torch.device, amp: Amp) -> str | None:
    """What to say of `amp=bf16` where it costs time instead of saving it; else None."""
    if not uses_bf16(device, amp) or has_bf16(device):
        return None
    what = "processor" if device.type == "cpu" else "GPU"
    return (
        f"this {what} has no bf16 instructions and imitates them, which makes a step 2 to 15 times "
        "slower: leave train.amp=bf16 out"
    )
