"""Launcher for tests: the `partlab` program with the colour segmenter registered."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

if __name__ == "__main__":
    import colour_segmenter  # noqa: F401  (registers itself)

    from app.cli.main import main

    sys.argv[0] = "partlab"
    main()
