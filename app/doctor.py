"""What this installation can do: each part present or missing, and the line that gets it."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from partlab.errors import PartlabError
from segmenter.later import compiler_later
from segmenter.protocol import DETECTRON2_INSTALL

State = Literal["present", "missing", "broken"]
ROOMS = ("annotate", "app", "partlab", "pseudolabel", "segmenter", "train")

STUDIO = (
    "partlab studio up DIR, which installs the server apart and prints the two lines that set "
    "PARTLAB_STUDIO_URL and PARTLAB_STUDIO_TOKEN"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing partlab needs or can use; `get` is the line that installs or mends it."""

    name: str
    state: State
    detail: str
    required: bool = False
    get: str | None = None


def examine() -> list[Part]:
    """Look at every part, required ones first. Never raises because of a missing part."""
    return [
        *(_guarded(check, name, required=True) for name, check in _REQUIRED.items()),
        *(_guarded(check, name, required=False) for name, check in _OPTIONAL.items()),
    ]


def healthy(parts: list[Part]) -> bool:
    """Whether everything required is there."""
    return all(part.state == "present" for part in parts if part.required)


def as_json(parts: list[Part]) -> dict[str, Any]:
    """The same, for programs."""
    return {
        "partlab": _version("partlab"),
        "healthy": healthy(parts),
        "parts": [asdict(part) for part in parts],
    }


def as_text(parts: list[Part]) -> str:
    """The same, for people: an aligned table, with the line that gets what is not there."""
    return "\n".join(_lines(parts))


def _lines(parts: list[Part]) -> Iterator[str]:
    wide = max(len(part.name) for part in parts)
    yield f"partlab {_version('partlab')}"
    for title, required in (("required", True), ("optional", False)):
        if any(part.required is required for part in parts):
            yield f"\n{title}"
        for part in parts:
            if part.required is required:
                yield f"  {part.name:<{wide}}  {part.state:<7}  {part.detail}"
                if part.state != "present" and part.get:
                    yield f"  {'':<{wide}}  get it:  {part.get}"
    yield "\neverything required is here" if healthy(parts) else "\nsomething required is missing"


Found = tuple[State, str, str | None]


def _guarded(check: Callable[[], Found], name: str, *, required: bool) -> Part:
    try:
        state, detail, get = check()
    except Exception as error:  # a broken installation may raise anything at all on import
        state, detail, get = "broken", f"{type(error).__name__}: {error}", "install it again"
    return Part(name, state, detail, required, None if state == "present" else get)


def _python() -> Found:
    ok = sys.version_info >= (3, 11)
    system = f"{platform.system()} {platform.machine()}"
    found = f"{platform.python_version()} at {sys.executable} ({system})"
    return "present" if ok else "missing", found, "install Python 3.11 or newer"


def _packages() -> Found:
    wanted = _requirements()
    wrong = [problem for need in wanted if (problem := _problem(need))]
    again = "install partlab again: pip install --upgrade partlab"
    if wrong:
        return "missing", "; ".join(wrong), again
    return "present", f"all {len(wanted)} that partlab depends on", None


def _requirements() -> list[Requirement]:
    found = [Requirement(line) for line in requires("partlab") or []]
    return [need for need in found if need.marker is None or need.marker.evaluate({"extra": ""})]


def _problem(need: Requirement) -> str | None:
    there = _version(need.name)
    if there is None:
        return f"{need.name} is not installed"
    if not need.specifier.contains(there, prereleases=True):
        return f"{need.name} {there} is installed, {need.specifier} is needed"
    return None


def _names() -> Found:
    owners = packages_distributions()
    foreign = {
        f"{room} ({owner})"
        for room in ROOMS
        for owner in owners.get(room, [])
        if owner.lower() != "partlab"
    }
    if foreign:
        taken = f"another distribution installs the package {', '.join(sorted(foreign))}"
        return "broken", taken, "uninstall it, or use an environment of its own for partlab"
    return "present", f"{', '.join(ROOMS)} are partlab's alone", None


def _torch() -> Found:
    if find_spec("torch") is None:
        return "missing", "", "pip install torch torchvision"
    torch = import_module("torch")
    with compiler_later():
        vision = import_module("torchvision")
    device = "CUDA" if torch.cuda.is_available() else "CPU"
    threads = f"{torch.get_num_threads()} CPU threads"
    found = f"torch {torch.__version__}, torchvision {vision.__version__}, {device}, {threads}"
    return "present", found, None


def _gpu() -> Found:
    torch = import_module("torch")
    if not torch.cuda.is_available():
        why = "this torch has no CUDA" if torch.version.cuda is None else "no usable NVIDIA driver"
        return "missing", why, "a machine where nvidia-smi works, and pip install torch torchvision"
    count = torch.cuda.device_count()
    return "present", ", ".join(_device(torch, index) for index in range(count)), None


def _device(torch: ModuleType, index: int) -> str:
    device = torch.cuda.get_device_properties(index)
    return f"{device.name} ({device.total_memory / 2**30:.0f} GiB)"


def _detectron2() -> Found:
    if find_spec("detectron2") is None:
        return "missing", "the second segmenter backend", DETECTRON2_INSTALL
    compiled = "with" if find_spec("detectron2._C") else "without"
    return "present", f"{_version('detectron2') or ''} {compiled} its compiled part".strip(), None


def _label_studio() -> Found:
    from annotate.studio.api.client import Studio
    from annotate.studio.api.connection import TOKEN_VARIABLE, URL_VARIABLE

    url = os.environ.get(URL_VARIABLE)
    if not url:
        return "missing", f"{URL_VARIABLE} is not set", STUDIO
    shown = urlsplit(url).hostname or url  # never the user and password a URL may hold
    if not os.environ.get(TOKEN_VARIABLE):
        return "missing", f"{shown} is named, {TOKEN_VARIABLE} is not set", STUDIO
    try:
        with Studio.from_env(timeout=3) as studio:
            email = studio.whoami()["email"]
    except PartlabError as error:
        return "missing", error.message, error.hint or STUDIO
    return "present", f"{shown} is up and knows us as {email}", None


def _onnx() -> Found:
    if find_spec("onnx") and find_spec("onnxruntime"):
        return "present", f"{_version('onnx')}, onnxruntime {_version('onnxruntime')}", None
    return "missing", "export of models for other programs", "pip install 'partlab[onnx]'"


def _ray() -> Found:
    if find_spec("ray"):
        return "present", f"{_version('ray')}", None
    return "missing", "the model server on several machines", "pip install 'partlab[ray]'"


def _sam() -> Found:
    if find_spec("transformers"):
        return "present", f"transformers {_version('transformers') or ''}".strip(), None
    return "missing", "model help by SAM", "pip install 'partlab[sam]'"


def _part_models() -> Found:
    if find_spec("segmentation_models_pytorch") and find_spec("transformers"):
        own = _version("segmentation-models-pytorch") or ""
        return "present", f"segmentation-models-pytorch {own}".strip(), None
    return "missing", "the part models of Berkeley", "pip install 'partlab[part-models]'"


def _corruptions() -> Found:
    if find_spec("imagecorruptions"):
        found = f"imagecorruptions-imaug {_version('imagecorruptions-imaug') or ''}".strip()
        return "present", found, None
    return "missing", "evaluation on corrupted pictures", "pip install 'partlab[corruptions]'"


def _duplicates() -> Found:
    if find_spec("imagehash"):
        return "present", f"imagehash {_version('imagehash') or ''}".strip(), None
    return "missing", "pictures that look the same", "pip install 'partlab[duplicates]'"


def _postgres() -> Found:
    """SQLite needs nothing; this is for teams."""
    if find_spec("psycopg") is None:
        return "missing", "the state of a team's work", "pip install 'partlab[postgres]'"
    named = "is set" if os.environ.get("PARTLAB_DB_URL") else "is not set: works use SQLite"
    return "present", f"psycopg {_version('psycopg') or ''}, PARTLAB_DB_URL {named}", None


def _chromium() -> Found:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return "present", path, None
    return "missing", "looks at pages in the browser tests", "apt-get install chromium"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


_REQUIRED: dict[str, Callable[[], Found]] = {
    "Python": _python,
    "packages": _packages,
    "package names": _names,
    "torch": _torch,
}
_OPTIONAL: dict[str, Callable[[], Found]] = {
    "GPU": _gpu,
    "detectron2": _detectron2,
    "Label Studio": _label_studio,
    "PostgreSQL": _postgres,
    "ONNX": _onnx,
    "Ray Serve": _ray,
    "corruptions": _corruptions,
    "part models": _part_models,
    "duplicates": _duplicates,
    "SAM": _sam,
    "chromium": _chromium,
}
