"""Which settings of a model are best: tried one after the other, judged on validation; the best one is tested, once."""

from trainer.sweep.run import SweepResult, run_sweep
from trainer.sweep.study import Trial

__all__ = ["SweepResult", "Trial", "run_sweep"]
