"""Robust object detection: what a recognition model's weights are worth to a detector (G-05).

Faster R-CNN on the backbone of a trained recognition model, trained plainly or by free
adversarial training, and evaluated under attacks on its classification and on its boxes, as
App. J of PartImageNet++ does after Li et al. (On the Importance of Backbone to the Adversarial
Robustness of Object Detectors).
"""
