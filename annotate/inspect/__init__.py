"""Inspectors: which images of a category to look at, what they decide, who agrees with whom."""
