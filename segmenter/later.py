"""The network libraries without torch's compiler, which nothing here uses.

torchvision and timm import it for one function each, and it takes as long to import as torch
itself: 4 of 10 seconds before the first image. The optimizer loads it when training begins.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_NAMES = ("torch._dynamo", "torch._dynamo.utils")


@contextmanager
def compiler_later() -> Iterator[None]:
    """What is imported in this block gets torch's compiler when it calls it, not before.

    Whoever asks for anything but the two functions below gets the compiler at once.
    """
    if any(name in sys.modules for name in _NAMES):
        yield
        return
    import torch  # first: it looks at these modules itself

    standing_in = {name: _Later(name) for name in _NAMES}
    vars(standing_in["torch._dynamo"])["disable"] = _disable(torch)
    vars(standing_in["torch._dynamo.utils"])["is_compile_supported"] = _is_compile_supported
    sys.modules.update(standing_in)
    try:
        yield
    finally:
        for name, module in standing_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        asked = (self.__name__, name) == (_NAMES[0], "__path__")  # for another of its modules
        if name.startswith("__") and not asked:  # `inspect` asks every module these
            raise AttributeError(name)
        for each in _NAMES:
            if isinstance(sys.modules.get(each), _Later):
                del sys.modules[each]
        return getattr(import_module(self.__name__), name)


def _disable(torch: Any) -> Callable[..., Any]:
    def disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
        return torch._disable_dynamo(fn, recursive)  # torch's own, which imports when called

    return disable


def _is_compile_supported(device: Any) -> Any:
    return import_module("torch._dynamo.utils").is_compile_supported(device)


_OFFERED = {
    "torchvision": ("segmenter.torchvision_backend", "backend"),
    "dense": ("segmenter.dense.backend", "backend"),
    "ModelConfig": ("segmenter.part_rcnn", "ModelConfig"),
    "SegmenterConfig": ("segmenter.fit", "SegmenterConfig"),
    "TrainConfig": ("segmenter.fit", "TrainConfig"),
}


def __getattr__(name: str) -> Any:
    """What others ask for by name and what needs the network libraries, imported in this way."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _OFFERED[name]
    with compiler_later():
        return getattr(import_module(module), attribute)
