"""Recognition: models that are trained with parts."""
