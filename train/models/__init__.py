"""Recognition networks: kinds, backbones, and how they are built and loaded."""
