"""The model server: trained models behind one door, for programs, annotators and other machines.

`create_app` makes the application; `partlab serve` runs it.
"""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from app.serve.app import create_app
    from app.serve.settings import ServeSettings
    from app.serve.source import Source

__all__ = ["ServeSettings", "Source", "create_app"]
__getattr__, __dir__ = room(
    __name__,
    {
        "ServeSettings": "app.serve.settings",
        "Source": "app.serve.source",
        "create_app": "app.serve.app",
    },
)
