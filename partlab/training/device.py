"""Where a network runs."""

import torch

from partlab.errors import ConfigError


def pick_device(name: str | None = None) -> torch.device:
    """The device of this name, or the best there is: the first GPU, else the CPU.

    Raises:
        ConfigError: torch knows no such device, or this machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used here: {str(error).strip().splitlines()[0]}",
            hint="use cpu, or leave the device out; what there is: partlab doctor",
        ) from error
    return device
