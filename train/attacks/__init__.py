"""Attacks in training and in quick evaluation; methods by name are `train.attacks.methods`."""
