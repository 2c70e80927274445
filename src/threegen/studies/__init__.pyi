# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.report.history import make_history as make_history
from threegen.studies.registry import run_study as run_study
from threegen.studies.registry import study_names as study_names

__all__ = [
    "make_history",
    "run_study",
    "study_names",
]
