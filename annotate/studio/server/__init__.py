"""A Label Studio server in an environment of its own, for this machine only."""
