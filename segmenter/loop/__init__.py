"""The loop: from what inspectors accepted to the next segmenter, and to the pictures drawn next.

from segmenter.loop import start, status

start("farm", who="lead@example.org")
status("farm").job
"""

from segmenter.loop.control import Standing, cancel, start, status

__all__ = ["Standing", "cancel", "start", "status"]
