"""Part models of Berkeley (Sitawarin 2023, Hingun 2023): parts first, then the object."""
