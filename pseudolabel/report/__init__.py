"""What a pseudo-label store is worth, as numbers and as one page to look at (B4.8)."""

from pseudolabel.report.build import Report, make_report
from pseudolabel.report.page import write_page
from pseudolabel.report.statistics import Bounds

__all__ = ["Bounds", "Report", "make_report", "write_page"]
