"""The `partlab` command: one file per group, bodies short, rooms imported inside functions."""
