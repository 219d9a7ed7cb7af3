"""Several segmenters as one: masks of all, by one rule, in a folder that is a run like any other.

`segmenter` has the rule, `fuse` makes the folder, `backend` is what the registry knows.
"""
