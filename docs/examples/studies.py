"""An example for each public name of `tg.studies`; the first cell belongs to all of them."""

# %% setup
import tempfile
from pathlib import Path

import threegen as tg

folder = Path(tempfile.mkdtemp())

# %% study_names
print(tg.studies.study_names())

# %% run_study
found = tg.studies.run_study("optimizers-on-a-valley", quick=True, out=folder)
print(found["title"])

# %% make_history
tg.studies.make_history(out=folder / "history", only=["perceptron"])
assert (folder / "history" / "report.html").exists()
