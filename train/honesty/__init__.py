"""Is a robust figure to be believed: checks of the model, attacks on parts, transfer (E-10)."""
