"""Label Studio: its server in its own environment, and everything partlab does with it."""
