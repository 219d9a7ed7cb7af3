"""The machine proposes: engine, store, calibration, composite masks, report."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from pseudolabel.engine import label_images
    from pseudolabel.export import export_coco, export_prepared
    from pseudolabel.maps import label_maps
    from pseudolabel.report import make_report, write_page
    from pseudolabel.settings import Settings
    from pseudolabel.store import Row, Store

__all__ = [
    "Row",
    "Settings",
    "Store",
    "export_coco",
    "export_prepared",
    "label_images",
    "label_maps",
    "make_report",
    "write_page",
]
__getattr__, __dir__ = room(
    __name__,
    {
        "Row": "pseudolabel.store",
        "Settings": "pseudolabel.settings",
        "Store": "pseudolabel.store",
        "export_coco": "pseudolabel.export",
        "export_prepared": "pseudolabel.export",
        "label_images": "pseudolabel.engine",
        "label_maps": "pseudolabel.maps",
        "make_report": "pseudolabel.report",
        "write_page": "pseudolabel.report",
    },
)
