"""People: formats, checks, statistics, samples, and the procedural part world."""
