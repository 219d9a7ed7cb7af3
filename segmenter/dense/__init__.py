"""A dense part segmenter: one label for each pixel, from a light decoder on any timm encoder.

`network` decodes, `truth` and `loss` teach it, `regions` makes detections of what it says, and
`backend` is what the registry knows.
"""
