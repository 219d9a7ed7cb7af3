"""What a run's scores are worth, found on images apart and kept with the run.

`scale` turns scores into shares of right pixels, `choose` picks thresholds for label maps, `tune`
does both for a run, `tuned` is the segmenter that answers with them.
"""
