"""People: formats, checks, statistics, samples, and the procedural part world."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from annotate.data.check import check_dataset, check_folder
    from annotate.data.convert import export_folder, import_folder
    from annotate.data.split import split_dataset
    from annotate.draw import Style
    from annotate.draw.display import show
    from annotate.world import WorldConfig, make_world

__all__ = [
    "Style",
    "WorldConfig",
    "check_dataset",
    "check_folder",
    "export_folder",
    "import_folder",
    "make_world",
    "show",
    "split_dataset",
]
__getattr__, __dir__ = room(
    __name__,
    {
        "Style": "annotate.draw",
        "WorldConfig": "annotate.world",
        "check_dataset": "annotate.data.check",
        "check_folder": "annotate.data.check",
        "export_folder": "annotate.data.convert",
        "import_folder": "annotate.data.convert",
        "make_world": "annotate.world",
        "show": "annotate.draw.display",
        "split_dataset": "annotate.data.split",
    },
)
