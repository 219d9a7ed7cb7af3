"""Launcher for tests: the process of a loop's job, with the colour segmenter registered.

With LOOP_SPOIL the segmenter it trains looks for wrong colours; LOOP_PAUSE is how many seconds each
picture takes that it learns from, so that a job can be caught at work.
"""

import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

if __name__ == "__main__":
    import colour_segmenter

    from partlab.images import load_image
    from segmenter.loop.job import main

    def slowly(path: str | Path) -> object:
        time.sleep(float(os.environ.get("LOOP_PAUSE", 0)))
        return load_image(path)

    colour_segmenter.load_image = slowly
    if os.environ.get("LOOP_SPOIL"):
        write = colour_segmenter.write_colour_run
        colour_segmenter.write_colour_run = lambda run, names, colours, inclusions: write(
            run, names, colours + 60, inclusions
        )
    main()
