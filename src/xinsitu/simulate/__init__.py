"""Made-up experiments with known truth: for the demo, the documentation, the tests and for planning beam time."""

from .experiment import Experiment
from .parts import Attenuator, Dump, Run, Spot
from .truth import Truth
from .write import simulate_frames, simulate_sample

__all__ = ["Attenuator", "Dump", "Experiment", "Run", "Spot", "Truth", "simulate_frames", "simulate_sample"]
