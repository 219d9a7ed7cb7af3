"""Part data sets: read and written, checked, mended, divided, joined, counted."""
