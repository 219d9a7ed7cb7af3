"""What part models find: as label maps and as boxes, side by side (H-03 … H-05, X-10)."""
