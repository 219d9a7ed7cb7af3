"""Evaluation under attack: what is attacked, how, and what is kept of every picture."""
