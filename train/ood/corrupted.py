"""The common corruptions of one's own pictures as files, in the published layout (G-01, G-06)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from partlab.errors import DatasetError
from partlab.images import load_image
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import check, corrupt
from train.corruptions.package import PACKAGE, need_corruptions
from train.corruptions.protocol import Protocol, jpeg_bytes
from train.evaluate.shown import key_of, sha256_of
from train.pictures import Pictures


@dataclass(frozen=True)
class Corrupted:
    """`corruption/severity/class/picture`, each picture under each corruption.

    They are those that `partlab evaluate corruptions` makes in memory, byte by byte.

    Raises:
        BackendUnavailableError, UnknownNameError, ConfigError: as `corrupt`.
        DatasetError: two pictures' names differ in their endings alone.
    """

    pictures: Pictures
    positions: Sequence[int] = field(repr=False)
    size: int = 224
    quality: int = 85
    corruptions: tuple[str, ...] = CORRUPTIONS
    severities: tuple[int, ...] = SEVERITIES
    kind: str = "corrupt"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_corruptions()
        for corruption in self.corruptions:
            for severity in self.severities:
                check(corruption, severity)
        files = [_as_jpeg(key_of(self.pictures, at)) for at in self.positions]
        if len(set(files)) < len(files):
            raise DatasetError(
                "two pictures differ in the endings of their names alone",
                hint="rename one of them",
            )

    @property
    def protocol(self) -> Protocol:
        """How a picture comes to its size, and its JPEG."""
        return Protocol(jpeg=self.quality, size=self.size)

    @property
    def settings(self) -> dict[str, Any]:
        """How, of what; the seeds are the pictures' names."""
        lines = [f"{key_of(self.pictures, n)} {int(self.pictures.class_of[n])}"
                 for n in self.positions]  # fmt: skip
        return {
            "made_by": f"{PACKAGE} {version(PACKAGE)}", "protocol": self.protocol.name,
            "corruptions": list(self.corruptions),
            "severities": list(self.severities), "images": len(lines), "list": sha256_of(lines),
        }  # fmt: skip

    @cached_property
    def items(self) -> Sequence[dict[str, Any]]:
        """A picture's type each, of all severities."""
        return [
            {"at": int(at), "corruption": corruption, "files": self._files(int(at), corruption)}
            for at in self.positions for corruption in self.corruptions
        ]  # fmt: skip

    def _files(self, at: int, corruption: str) -> list[dict[str, Any]]:
        key = key_of(self.pictures, at)
        owner = self.pictures.classes[int(self.pictures.class_of[at])]
        return [
            {"file": f"{corruption}/{severity}/{_as_jpeg(key)}", "label": owner, "source": key,
             "corruption": corruption, "severity": severity}
            for severity in self.severities
        ]  # fmt: skip

    def make(self, at: int) -> Sequence[bytes]:
        """A JPEG for each severity."""
        item = self.items[at]
        clean = self.protocol.clean(load_image(self.pictures.path(item["at"])))
        return [
            jpeg_bytes(corrupt(clean, item["corruption"], each["severity"], each["source"]),
                       self.quality)
            for each in item["files"]
        ]  # fmt: skip


def _as_jpeg(key: str) -> str:
    jpeg = PurePosixPath(key).suffix.lower() in (".jpg", ".jpeg")
    return key if jpeg else PurePosixPath(key).with_suffix(".jpg").as_posix()
