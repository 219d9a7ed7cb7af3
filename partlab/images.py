"""The one way a picture becomes pixels, for every room."""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import SEEK_CUR, BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from partlab.errors import DatasetError, NotFoundError
from partlab.places import is_remote, located, read_bytes

# A photo of over 89 megapixels is large, no bomb; one of twice that size is still refused.
warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)

# What Pillow raises depends on where in the file the damage is; EXIF alone gives half of these.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
)
KINDS = "bmp, jpeg, jpg, png, tif, tiff, webp, jfif, jpe"  # the last two are JPEG
IMAGE_SUFFIXES = frozenset(f".{kind}" for kind in KINDS.split(", "))
_LITTER = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})  # what systems leave in folders

# A PNG is a list of chunks: length, kind, so many bytes, check sum.
_PNG, _CHECKSUM = b"\x89PNG\r\n\x1a\n", 4
_PNG_WORDS = frozenset((b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt"))
_NO_PIXELS = b"".join(struct.pack(">I4sI", 0, k, zlib.crc32(k)) for k in (b"IDAT", b"IEND"))


class TooLargeError(DatasetError):
    """A picture has more pixels than is safe to read; the message says how many."""


Source = str | Path | bytes
"""A picture's file, or its bytes as they came from elsewhere."""

# Of bytes from elsewhere nothing else is opened: Pillow would hand some kinds to other programs.
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


def load_image(path: Source) -> NDArray[np.uint8]:
    """Decode to RGB, shape (height, width, 3), EXIF orientation applied.

    Browsers and Label Studio show the rotated picture, so masks are drawn on it. Transparent
    pixels lie on white, as browsers show them. Grey, palette and CMYK pictures become RGB; grey
    of 16 bits, and of 32 where the values tell their range, is scaled. A PNG named .JPEG opens.

    Raises:
        NotFoundError: there is no such file.
        TooLargeError: the picture has more pixels than Pillow calls safe, 179 million.
        DatasetError: the file is damaged, truncated, not a picture, or of a kind whose white
            nobody can know.
    """
    with _opened(path) as picture:
        return np.array(_rgb(ImageOps.exif_transpose(picture)))


@contextmanager
def _opened(source: Source) -> Iterator[PillowImage.Image]:
    name = "image" if isinstance(source, bytes) else f"image {source}"
    try:
        with _open(source) as picture:
            yield picture
    except FileNotFoundError:
        raise NotFoundError(f"no {name}") from None
    except PillowImage.DecompressionBombError as error:
        raise TooLargeError(
            f"cannot read {name}: {_how_large(error)}",
            hint="make it smaller, or cut it into tiles, and its masks with it",
        ) from error
    except _DAMAGE as error:
        raise DatasetError(f"cannot read {name}: {_reason(error)}") from error


def _open(source: Source) -> PillowImage.Image:
    if isinstance(source, bytes):
        return PillowImage.open(BytesIO(source), formats=_FORMATS)
    if ".tar/" in str(source):
        from partlab.tars import inside_tar, read_member  # it imports this

        if (found := inside_tar(source)) and found[0].is_file():
            return PillowImage.open(BytesIO(read_member(*found)))
    if is_remote(source):
        return PillowImage.open(BytesIO(read_bytes(source)))
    return PillowImage.open(source)


def _how_large(error: Exception) -> str:
    """Pillow says it in words of its own, which frighten people."""
    found = re.search(r"\d+", str(error))
    pixels, limit = int(found.group()) if found else 0, 2 * (PillowImage.MAX_IMAGE_PIXELS or 0)
    return (
        f"it has {pixels} pixels ({pixels / 1e6:,.0f} megapixels), and partlab reads up to {limit} "
        f"({limit / 1e6:,.0f})"
    )


def _rgb(picture: PillowImage.Image) -> PillowImage.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return PillowImage.fromarray(_grey(np.asarray(picture), picture.mode)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    return PillowImage.alpha_composite(PillowImage.new("RGBA", clear.size, "white"), clear).convert(
        "RGB"
    )


def _grey(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Deep grey as 8 bits; Pillow itself would cut everything over 255 to white.

    Whole numbers are taken for 8 bits up to 255, for 16 bits up to 65,535; fractions for
    shares up to 1.
    """
    if mode.startswith("I;16"):
        return np.asarray(values >> 8, np.uint8)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    whole = mode == "I" or bool((values == np.floor(values)).all())
    if low >= 0 and high <= 1 and mode == "F":
        return np.asarray(np.round(values * 255), np.uint8)
    if low >= 0 and whole and high <= 65_535:
        return np.asarray(values if high <= 255 else values // 256, np.uint8)
    raise ValueError(
        f"its grey values of 32 bits go from {low:g} to {high:g}, and nothing says which is "
        "white; save it with 8 or 16 bits"
    )


def image_size(path: Source) -> tuple[int, int]:
    """(width, height) as shown, that is after EXIF orientation; decodes nothing.

    So damage among the pixels is not found, but a PNG that ends too early is.

    Raises:
        NotFoundError, TooLargeError, DatasetError: as `load_image`.
    """
    with _opened(path) as picture:
        turned = _exif(picture).get(0x0112, 1) in (5, 6, 7, 8)
        return (picture.height, picture.width) if turned else (picture.width, picture.height)


def _exif(picture: PillowImage.Image) -> PillowImage.Exif:
    """What `getexif` says of it; that decodes a PNG to see what is written behind the pixels."""
    if not isinstance(picture, PngImageFile) or "exif" in picture.info:
        return picture.getexif()
    assert picture.fp is not None  # it is open
    bare = _without_pixels(picture.fp)
    if bare is None:  # decoding finds out whether pixels are missing, and says so
        return picture.getexif()
    with PillowImage.open(bare, formats=("PNG",)) as words:
        return PillowImage.Image.getexif(words)


def _without_pixels(file: IO[bytes]) -> BytesIO | None:
    """What a PNG says besides its pixels, as a PNG without any; None where its end is missing."""
    file.seek(0)
    bare, kind = BytesIO(), b""
    bare.write(file.read(len(_PNG)))
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            return None
        length, kind = struct.unpack(">I4s", head)
        if kind in _PNG_WORDS:
            bare.write(head + file.read(length + _CHECKSUM))
        else:
            file.seek(length + _CHECKSUM, SEEK_CUR)
    bare.write(_NO_PIXELS)
    bare.seek(0)
    return bare


def is_image_name(path: str | Path) -> bool:
    """Whether the file name ends like a picture's; `._a.jpg` is no picture but macOS' notes."""
    return located(path).suffix.lower() in IMAGE_SUFFIXES and not is_litter(path)


def is_litter(path: str | Path) -> bool:
    """Whether the system left this file: hidden ones, Thumbs.db. Nobody misses it."""
    name = located(path).name
    return name.startswith(".") or name.lower() in _LITTER


def not_read(files: Sequence[str], total: int | None = None) -> str:
    """One sentence on files that are passed over for their names.

    `total` is how many there are, where `files` are only the first of them.
    """
    number = len(files) if total is None else total
    are, them = ("file is", "it") if number == 1 else ("files are", "them")
    then = f", then {', '.join(files[1:10])}" if len(files) > 1 else ""
    more = " …" if number > 10 else ""
    return (
        f"{number} {are} no picture that partlab reads ({KINDS}), first {files[0]}{then}{more}: "
        f"convert {them}, if photographs"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return str(error) or type(error).__name__
