"""The one way a picture becomes pixels: EXIF applied, any mode to RGB, damage named."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.PngImagePlugin import PngImageFile

from partlab.errors import DatasetError, NotFoundError
from partlab.images import TooLargeError, image_size, is_image_name, is_litter, load_image, not_read

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)


def save(path: Path, orientation: int | None = None, **options: object) -> Path:
    exif = PillowImage.Exif()
    if orientation:
        exif[0x0112] = orientation
    PillowImage.fromarray(PIXELS).save(path, exif=exif, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("orientation", [None, 1, 2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_is_applied(orientation: int | None, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", orientation)
    turned = {
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: PIXELS[::-1].transpose(1, 0, 2),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: PIXELS[:, ::-1].transpose(1, 0, 2),
    }.get(orientation or 1, PIXELS)
    found = load_image(path)
    assert (found == turned).all()
    assert image_size(path) == (found.shape[1], found.shape[0])


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_as_pillow_shows_it(orientation: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", orientation)
    with PillowImage.open(path) as opened:
        shown = np.array(ImageOps.exif_transpose(opened))
    assert (load_image(path) == shown).all()
    assert load_image(path).dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    picture = PillowImage.fromarray(PIXELS)
    if mode == "I;16":
        picture = PillowImage.fromarray(np.zeros((6, 9), np.uint16))
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    assert load_image(path).shape == (6, 9, 3)
    assert image_size(path) == (9, 6)


def test_a_png_named_jpeg_opens(tmp_path: Path) -> None:
    save(tmp_path / "a.png").rename(tmp_path / "a.JPEG")
    assert (load_image(tmp_path / "a.JPEG") == PIXELS).all()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def orientation_6() -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    return exif.tobytes()[6:]


RAW_PROFILE = b"Raw profile type exif\x00\nexif\n  26\n" + orientation_6().hex().encode()
XMP = b'XML:com.adobe.xmp\x00\x00\x00\x00\x00<r tiff:Orientation="6"/>'


@pytest.mark.parametrize("before", [True, False], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize(
    "words", [(b"eXIf", orientation_6()), (b"tEXt", RAW_PROFILE), (b"iTXt", XMP)]
)
def test_the_size_of_a_png_is_known_without_its_pixels(
    words: tuple[bytes, bytes], before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = save(tmp_path / "plain.png").read_bytes()
    at = plain.index(b"IDAT" if before else b"IEND") - 4
    path = tmp_path / "turned.png"
    path.write_bytes(plain[:at] + png_chunk(*words) + plain[at:])
    assert load_image(path).shape == (9, 6, 3)

    def decoded(_self: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(PngImageFile, "load", decoded)
    assert image_size(path) == (6, 9)
    assert image_size(path.read_bytes()) == (6, 9)
    assert image_size(save(tmp_path / "plain.png")) == (9, 6)


def test_a_png_that_ends_too_early_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])  # without the end alone every reader shows it
    assert load_image(path).shape == (300, 300, 3)
    assert image_size(path) == (300, 300)
    for length in (100, len(whole) // 2, len(whole) - 500):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"cannot read image .*cut\.png"):
            image_size(path)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("damage", [struct.error("unpack"), zlib.error("bad"), KeyError(7)])
def test_whatever_pillow_raises_on_odd_metadata_is_named(
    damage: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object) -> None:
        raise damage

    path = save(tmp_path / "odd.png")
    monkeypatch.setattr(PillowImage.Image, "getexif", broken)
    for read in (load_image, image_size):
        with pytest.raises(DatasetError, match=r"cannot read image .*odd\.png"):
            read(path)


@pytest.mark.parametrize("data", [b"", b"text", jpeg()[:400], b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_damaged_files_are_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"cannot read image .*bad\.jpg"):
        load_image(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    for read in (load_image, image_size):
        with pytest.raises(NotFoundError, match=r"x\.jpg"):
            read(tmp_path / "x.jpg")
    with pytest.raises(DatasetError):
        load_image(tmp_path)
    (tmp_path / "t.jpg").write_text("no")
    with pytest.raises(DatasetError, match="not a picture"):
        image_size(tmp_path / "t.jpg")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DatasetError, match=r"a\.png"):
        load_image(path)


def test_picture_names() -> None:
    names = ["a.JPEG", "a.jpg", "b.Png", "c.webp", "d.txt", ".jpg", "jpg", "a.json", "._a.jpg"]
    assert [name for name in names if is_image_name(name)] == ["a.JPEG", "a.jpg", "b.Png", "c.webp"]


def test_grey_of_16_bits_is_scaled_not_cut(tmp_path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    PillowImage.fromarray(ramp).save(tmp_path / "deep.png")
    pixels = load_image(tmp_path / "deep.png")
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[-1, -1].tolist() == [255, 255, 255]
    assert len(np.unique(pixels)) > 200


def grey(path: Path, values: np.ndarray) -> Path:
    PillowImage.fromarray(values).save(path)
    return path


RAMP = np.tile(np.linspace(0, 1, 60), (4, 1))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((RAMP * 65535).astype(np.int32), RAMP * 65535 // 256),
        ((RAMP * 255).astype(np.int32), (RAMP * 255).astype(np.int32)),
        (RAMP.astype(np.float32), np.round(RAMP * 255)),
        (np.round(RAMP * 255).astype(np.float32), np.round(RAMP * 255)),
        (np.floor(RAMP * 65535).astype(np.float32), np.floor(RAMP * 65535) // 256),
    ],
    ids=["int16", "int8", "share", "float8", "float16"],
)
def test_deep_grey_is_scaled(values: np.ndarray, expected: np.ndarray, tmp_path: Path) -> None:
    pixels = load_image(grey(tmp_path / "a.tif", values))
    assert np.abs(pixels[..., 0].astype(int) - expected).max() <= 1
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 1e6).astype(np.int32),
        (RAMP * 200 - 100).astype(np.int32),
        (RAMP * 5).astype(np.float32),
        (RAMP - 0.5).astype(np.float32),
        np.full((4, 60), np.nan, np.float32),
    ],
    ids=["deep", "negative", "bright", "signed", "nan"],
)
def test_grey_whose_white_nobody_knows_is_refused_by_name(
    values: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"a\.tif: its grey values of 32 bits go from"):
        load_image(grey(tmp_path / "a.tif", values))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_lie_on_white(mode: str, tmp_path: Path) -> None:
    """Whatever colour hides below them."""
    picture = PillowImage.new("RGBA", (9, 6), (10, 10, 10, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 4, 6))
    if mode == "P":
        picture = picture.convert("RGB").quantize(2)
        picture.info["transparency"] = picture.getpixel((0, 0))
        picture.save(tmp_path / "a.png", transparency=picture.info["transparency"])
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    pixels = load_image(tmp_path / "a.png")
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, 4:] == 10).all()


def test_a_picture_that_is_too_large_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "slide.png")
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 20)
    for read in (load_image, image_size):
        with pytest.raises(TooLargeError, match=r"it has 54 pixels .* reads up to 40") as refused:
            read(path)
        assert "attack" not in refused.value.message
        assert "smaller" in str(refused.value.hint)


def test_other_names_of_jpeg_and_what_systems_leave() -> None:
    assert is_image_name("a.jfif")
    assert is_image_name("a.JPE")
    names = ["._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "a.gif"]
    assert [name for name in names if is_litter(name)] == names[:-1]
    assert "first a.gif, then b.heic: convert them" in not_read(["a.gif", "b.heic"])
