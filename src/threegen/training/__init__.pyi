# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.training.energy_monitors import EnergyMonitor as EnergyMonitor
from threegen.training.energy_monitors import StopAtDivergence as StopAtDivergence
from threegen.training.evaluate import Evaluation as Evaluation
from threegen.training.evaluate import evaluate as evaluate
from threegen.training.fit import Callback as Callback
from threegen.training.fit import fit as fit
from threegen.training.log import TrainingLog as TrainingLog
from threegen.training.optimizers.build import optimizer as optimizer
from threegen.training.reward_monitor import PassReport as PassReport
from threegen.training.reward_monitor import RewardMonitor as RewardMonitor
from threegen.training.schedules import EpochSteps as EpochSteps
from threegen.training.schedules import Plateau as Plateau
from threegen.training.schedules import Progress as Progress
from threegen.training.schedules import RateSchedule as RateSchedule
from threegen.training.schedules import RuleValue as RuleValue
from threegen.training.search.results import SearchResult as SearchResult
from threegen.training.search.space import Choice as Choice
from threegen.training.search.space import Numbers as Numbers
from threegen.training.stages import Stage as Stage
from threegen.training.stopping import EarlyStopping as EarlyStopping

__all__ = [
    "Callback",
    "Choice",
    "EarlyStopping",
    "EnergyMonitor",
    "EpochSteps",
    "Evaluation",
    "Numbers",
    "PassReport",
    "Plateau",
    "Progress",
    "RateSchedule",
    "RewardMonitor",
    "RuleValue",
    "SearchResult",
    "Stage",
    "StopAtDivergence",
    "TrainingLog",
    "evaluate",
    "fit",
    "optimizer",
]
