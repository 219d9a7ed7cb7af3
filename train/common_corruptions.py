"""The common corruptions of ImageNet-C by name; `train.corruptions` makes them, and needs torch."""

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""Noise, blur, weather and digital, in the order of the paper's tables."""
SEVERITIES = (1, 2, 3, 4, 5)
