"""How good with how many labelled sentences, and what more of them would bring."""

from trainer.learning_curve.curve import LearningCurve, learning_curve
from trainer.learning_curve.run import CurveResult, run_learning_curve

__all__ = ["CurveResult", "LearningCurve", "learning_curve", "run_learning_curve"]
