"""A network finds parts: backends, training, the category filter, evaluation."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from segmenter.evaluate import EvaluationSettings
    from segmenter.evaluation_file import evaluate_run
    from segmenter.fit import SegmenterConfig, TrainConfig
    from segmenter.listing import list_runs
    from segmenter.part_rcnn import ModelConfig
    from segmenter.predictor import Prediction, PredictionSettings, Predictor, Thresholds
    from segmenter.protocol import Detections, Segmenter
    from segmenter.runs import load_segmenter
    from segmenter.train import train_segmenter

__all__ = [
    "Detections",
    "EvaluationSettings",
    "ModelConfig",
    "Prediction",
    "PredictionSettings",
    "Predictor",
    "Segmenter",
    "SegmenterConfig",
    "Thresholds",
    "TrainConfig",
    "evaluate_run",
    "list_runs",
    "load_segmenter",
    "train_segmenter",
]
__getattr__, __dir__ = room(
    __name__,
    {
        "Detections": "segmenter.protocol",
        "EvaluationSettings": "segmenter.evaluate",
        "ModelConfig": "segmenter.later",
        "Prediction": "segmenter.predictor",
        "PredictionSettings": "segmenter.predictor",
        "Predictor": "segmenter.predictor",
        "Segmenter": "segmenter.protocol",
        "SegmenterConfig": "segmenter.later",
        "Thresholds": "segmenter.predictor",
        "TrainConfig": "segmenter.later",
        "evaluate_run": "segmenter.evaluation_file",
        "list_runs": "segmenter.listing",
        "load_segmenter": "segmenter.runs",
        "train_segmenter": "segmenter.train",
    },
)
