"""Label Studio's ML backend: a served segmenter suggests masks, and answers clicks and boxes."""
