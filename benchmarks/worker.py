"""The other end of the harness: a long-lived process that times its own work on request. Standard library only.

One request a line on standard input, `{"quick": false}`; one answer a line on standard output,
`{"value": 4.2, "peak_mib": 512.0, "versions": {...}}`. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from importlib.metadata import version

Work = Callable[[bool], float]  # takes whether to be quick, returns the figure that is compared


def serve(work: Work, packages: tuple[str, ...] = ()) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    versions = {name: version(name) for name in packages}
    for line in sys.stdin:
        value = work(bool(json.loads(line)["quick"]))
        # On Linux the peak is told in KiB, on macOS in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        answers.write(json.dumps({"value": value, "peak_mib": round(peak, 1), "versions": versions}) + "\n")
        answers.flush()
