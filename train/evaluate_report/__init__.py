"""Evaluations side by side: figures with intervals, who beats whom, one page and JSON (N-13, X-05).

Nothing here needs torch.
"""

from train.evaluate_report.facts import report
from train.evaluate_report.page import write_report
from train.evaluate_report.reading import Measured, read_measured

__all__ = ["Measured", "read_measured", "report", "write_report"]
