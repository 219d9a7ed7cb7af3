"""A network finds parts: backends, training, the category filter, evaluation."""
