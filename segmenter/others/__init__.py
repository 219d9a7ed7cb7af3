"""What other tools find, measured beside our runs on the same masks."""
