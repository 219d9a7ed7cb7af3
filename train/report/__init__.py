"""How recognition runs went: facts, curves as a picture, and one page to look at (X-03).

Nothing here needs torch, and drawing alone needs matplotlib.
"""

from train.report.curves import write_curves
from train.report.page import write_page
from train.report.summary import Summary, run_summary

__all__ = ["Summary", "run_summary", "write_curves", "write_page"]
