"""Pictures from elsewhere than training: sets made of one's own data, and published ones (G-03)."""
