"""The 15 corruptions: to the published definition, the same bytes always, any size (RK-18, RK-19).

Definitions are written out here from the published constants with scipy and skimage, apart from
the code they judge.
"""

import json
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import cv2
import imagecorruptions.corruptions as kept
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from PIL import Image
from scipy.ndimage import map_coordinates, zoom
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian

from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    DatasetError,
    UnknownNameError,
)
from train.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from train.corruptions.generate import seed_of
from train.corruptions.package import TEXTURES, texture

ALL = [(c, s) for c in CORRUPTIONS for s in SEVERITIES]
# mean and spread of picture() at severity 3 under the key "golden"
GOLDEN: dict[str, tuple[float, float]] = {
    "gaussian_noise": (125.53, 69.25),
    "shot_noise": (122.12, 74.42),
    "impulse_noise": (125.43, 70.46),
    "defocus_blur": (124.60, 58.82),
    "glass_blur": (123.29, 61.53),
    "motion_blur": (121.95, 58.75),
    "zoom_blur": (126.72, 50.09),
    "snow": (194.86, 60.01),
    "frost": (203.63, 40.51),
    "fog": (151.99, 29.03),
    "brightness": (184.88, 56.91),
    "contrast": (124.63, 12.59),
    "elastic_transform": (123.78, 61.32),
    "pixelate": (125.23, 61.99),
    "jpeg_compression": (125.33, 61.02),
}


def picture(height: int = 224, width: int = 224, seed: int = 0) -> np.ndarray:
    """Smooth colours with edges, black and white in it."""
    noise = RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.float32)
    smooth = (cv2.GaussianBlur(noise, (0, 0), 6) - 127) * 9 + 127
    pixels = np.clip(smooth, 0, 255).astype(np.uint8)
    pixels[: height // 8], pixels[height // 2 :, : width // 8] = 0, 255
    return pixels


def difference(one: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """The largest, in grey levels, and the share of values that differ."""
    apart = np.abs(one.astype(int) - other.astype(int))
    return int(apart.max()), float((apart > 0).mean())


def middle(image: np.ndarray, factor: float) -> np.ndarray:
    """clipped_zoom as it is published, for both sides."""
    height, width = image.shape[:2]
    high, wide = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - high) // 2, (width - wide) // 2
    large = zoom(image[top : top + high, left : left + wide], (factor, factor, 1), order=1)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
def test_zoom_blur_is_the_definition(size: tuple[int, int], severity: int) -> None:
    steps = [np.arange(1, 1.11, 0.01), np.arange(1, 1.16, 0.01), np.arange(1, 1.21, 0.02),
             np.arange(1, 1.26, 0.02), np.arange(1, 1.31, 0.03)][severity - 1]  # fmt: skip
    image = (picture(*size) / 255.0).astype(np.float32)
    total = np.zeros_like(image)
    for step in steps:
        total += middle(image, step)
    wanted = np.uint8(np.clip((image + total) / (len(steps) + 1), 0, 1) * 255)
    assert difference(corrupt(picture(*size), "zoom_blur", severity, "a"), wanted) == (0, 0)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_is_the_definition(severity: int) -> None:
    """The detour over hue rounds; where a value is whole, cutting makes one grey level of it."""
    hsv = rgb2hsv(picture() / 255.0)
    hsv[..., 2] = np.clip(hsv[..., 2] + severity / 10, 0, 1)
    wanted = np.uint8(np.clip(hsv2rgb(hsv), 0, 1) * 255)
    worst, share = difference(corrupt(picture(), "brightness", severity, "a"), wanted)
    assert worst <= 1
    assert share < 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_is_the_definition(severity: int) -> None:
    """With the constant 244 and the affine map; one grey level where scipy's zoom rounds."""
    strength, sigma, reach = [
        (488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88),
        (29.28, 2.44, 4.88)][severity - 1]  # fmt: skip
    rng = RandomState(seed_of("a", "elastic_transform", severity))
    image = np.array(picture(200, 230), np.float32) / 255.0
    shape = image.shape
    centre, side = np.float32(shape[:2]) // 2, min(shape[:2]) // 3
    start = np.float32([centre + side, [centre[0] + side, centre[1] - side], centre - side])
    end = start + rng.uniform(-reach, reach, size=start.shape).astype(np.float32)
    image = cv2.warpAffine(image, cv2.getAffineTransform(start, end), shape[1::-1],
                           borderMode=cv2.BORDER_REFLECT_101)  # fmt: skip
    dx, dy = ((gaussian(rng.uniform(-1, 1, size=shape[:2]), sigma, mode="reflect", truncate=3)
               * strength).astype(np.float32)[..., None] for _ in range(2))  # fmt: skip
    x, y, z = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]), np.arange(3))
    moved = map_coordinates(image, (y + dy, x + dx, z), order=1, mode="reflect")
    wanted = np.uint8(np.clip(moved, 0, 1) * 255)
    found = corrupt(picture(200, 230), "elastic_transform", severity, "a")
    worst, share = difference(found, wanted)
    assert worst <= 1
    assert share < 1e-3
    assert difference(found, picture(200, 230))[1] > 0.1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_is_the_definition_with_its_layer_in_the_middle(severity: int) -> None:
    loc, scale, factor, threshold, radius, sigma, own = [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)][severity - 1]  # fmt: skip
    rng = RandomState(seed_of("a", "snow", severity))
    image = np.array(picture(), np.float32) / 255.0
    layer = middle(rng.normal(size=image.shape[:2], loc=loc, scale=scale)[..., None], factor)
    layer[layer < threshold] = 0
    grey = np.uint8(np.clip(layer[..., 0], 0, 1) * 255)
    blown = kept._motion_blur(np.float32(grey), radius, sigma, rng.uniform(-135, -45))
    fallen = np.round(blown)[..., None] / 255
    pale = np.maximum(image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] * 1.5 + 0.5)
    whole = own * image + (1 - own) * pale + fallen + np.rot90(fallen, k=2)
    wanted = np.uint8(np.clip(whole, 0, 1) * 255)
    worst, share = difference(corrupt(picture(), "snow", severity, "a"), wanted)
    assert worst <= 1
    assert share < 1e-3


def holds(ice: np.ndarray, piece: np.ndarray) -> bool:
    x, y = cv2.minMaxLoc(cv2.matchTemplate(ice, piece, cv2.TM_SQDIFF))[2]
    return np.array_equal(ice[y : y + piece.shape[0], x : x + piece.shape[1]], piece)


def test_frost_is_a_piece_of_one_of_five_textures() -> None:
    """On black only the texture is left: it is found in one of the five, at its own size."""
    seen, black = set(), np.zeros((40, 40, 3), np.uint8)
    dim = [(0.4 * texture(place)).astype(np.uint8) for place in range(len(TEXTURES))]
    for number in range(12):
        made = corrupt(black, "frost", 1, f"{number}")  # severity 1 adds 0.4 of it
        of = [place for place, ice in enumerate(dim) if holds(ice, made)]
        assert of, f"frost {number} is of no texture"
        seen.update(of)
    assert seen == set(range(5))


@pytest.mark.parametrize(
    "name", ["gaussian_noise", "shot_noise", "motion_blur", "fog", "defocus_blur", "contrast",
             "pixelate", "jpeg_compression"],
)  # fmt: skip
def test_the_rest_is_the_package_under_one_seed(name: str) -> None:
    """The package is equal to the original there (robustness B2)."""
    for severity in SEVERITIES:
        np.random.seed(seed_of("a", name, severity))
        wanted = np.uint8(getattr(kept, name)(Image.fromarray(picture()), severity))
        assert difference(corrupt(picture(), name, severity, "a"), wanted) == (0, 0)


def test_goldens() -> None:
    """Means and spreads; loose enough for other versions of libraries, no other definition."""
    made = {name: corrupt(picture(), name, 3, "golden") for name in CORRUPTIONS}
    found = {name: (float(one.mean()), float(one.std())) for name, one in made.items()}
    assert found.keys() == GOLDEN.keys()
    for name, wanted in GOLDEN.items():
        assert found[name] == pytest.approx(wanted, abs=0.2), name


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (160, 100), (512, 40)])
def test_any_size(size: tuple[int, int]) -> None:
    before = picture(*size)
    for name, severity in ALL:
        pixels = picture(*size)
        made = corrupt(pixels, name, severity, "a")
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
        assert difference(made, before)[1] > 0, f"{name} {severity} does nothing"
        assert np.array_equal(pixels, before), f"{name} writes to the picture it is given"


@pytest.mark.slow
def test_large_pictures() -> None:
    assert all(corrupt(picture(512, 512), *each, "a").shape == (512, 512, 3) for each in ALL)


def hashes(order: list[tuple[str, int]]) -> dict[str, str]:
    pixels = picture(40, 36)
    return {f"{c}:{s}": sha256(corrupt(pixels, c, s, "x/y.JPEG")).hexdigest() for c, s in order}


@pytest.mark.slow  # the default run has worker processes in test_corruptions_measured.py
def test_the_same_bytes_from_another_process_in_another_order() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import numpy as np; np.random.seed(5)\n"
        "import test_corruptions as t, json; print(json.dumps(t.hashes(t.ALL[::-1])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[3])  # fmt: skip
    np.random.seed(3)
    assert json.loads(done.stdout) == hashes(ALL)


def test_the_same_bytes_from_threads() -> None:
    wanted, found = hashes(ALL), []
    threads = [threading.Thread(target=lambda: found.append(hashes(ALL))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


def test_other_peoples_chance_is_left_alone() -> None:
    np.random.seed(1)
    wanted = np.random.random(3)
    np.random.seed(1)
    hashes(ALL)
    assert np.array_equal(np.random.random(3), wanted)


@settings(max_examples=30, deadline=None)
@given(st.text(), st.sampled_from(ALL))
def test_key_corruption_and_severity_each_change_the_chance(key: str, each: tuple) -> None:
    name, severity = each
    assert seed_of(key, name, severity) == seed_of(key, name, severity)
    assert 0 <= seed_of(key, name, severity) < 2**32
    assert seed_of(key, name, severity) != seed_of(key + "x", name, severity)
    assert seed_of(key, name, severity) != seed_of(key, name, severity % 5 + 1)


def test_random_corruptions_differ_between_pictures() -> None:
    fixed = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}
    for name in CORRUPTIONS:
        same = np.array_equal(*(corrupt(picture(48, 48), name, 3, key) for key in "ab"))
        assert same == (name in fixed), name


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5, True, "3"])
def test_other_severities_are_refused(severity: int) -> None:
    with pytest.raises(ConfigError, match=f"no severity {severity!r} of fog") as told:
        corrupt(picture(32, 32), "fog", severity, "a")
    assert told.value.exit_code == 2


def test_a_corruption_that_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="unknown corruption 'snoww'") as told:
        corrupt(picture(32, 32), "snoww", 1, "a")
    assert told.value.hint == "did you mean snow?"


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((31, 40, 3), np.uint8), "picture a has 40 x 31 pixels, corruptions need at"),
        (np.zeros((40, 40), np.uint8), "not RGB of 8 bits"),
        (np.zeros((40, 40, 4), np.uint8), "not RGB of 8 bits"),
        (np.zeros((40, 40, 3), np.float32), "picture a is float32"),
    ],
)
def test_pictures_that_cannot_be_corrupted(pixels: np.ndarray, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        corrupt(pixels, "fog", 1, "a")


@pytest.mark.parametrize("name", ["fog", "brightness"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions.corruptions", None)
    with pytest.raises(BackendUnavailableError, match="imagecorruptions-imaug") as told:
        corrupt(picture(32, 32), name, 1, "a")
    assert told.value.exit_code == 4
    assert told.value.hint == "pip install 'partlab[corruptions]'"
