"""Random colours of whole batches, on the device where they are trained on."""

import torch
from torch import Tensor

_LUMA = (0.2989, 0.587, 0.114)  # torchvision's


def jitter(images: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast and saturation, as torchvision's ColorJitter does.

    Each image has its own three factors, uniform in 1 ± strength and not below 0, drawn from
    torch's generator of the images' device, which the loop seeds for each step. One order of
    the three holds for the batch.

    Args:
        images: (B, 3, H, W) float in [0, 1]; not changed.
        strength: 0 gives the images back.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    if not strength:
        return images
    low = max(1 - strength, 0)
    factors = torch.empty(3, len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
    factors.uniform_(low, 1 + strength)
    changes = (brightness, contrast, saturation)
    for which in torch.randperm(len(changes)).tolist():
        images = changes[which](images, factors[which])
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Between black and the image; `factor` (B, 1, 1, 1)."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Between the mean grey of each image and the image."""
    return _between(_grey(images).mean((-3, -2, -1), keepdim=True), images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Between the grey image and the image."""
    return _between(_grey(images), images, factor)


def _between(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (other + (images - other) * factor).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(-3, keepdim=True)
