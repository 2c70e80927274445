"""The worker of the harness: a long-lived process that times its own work on request. Standard library only.

One request per line on standard input, `{"quick": false}`; one answer per line on standard output,
`{"value": 4.2, "peak_mib": 512.0, "versions": {...}}`. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from importlib.metadata import version

Work = Callable[[bool], float]  # takes `quick`, returns the compared figure


def serve(work: Work, packages: tuple[str, ...] = ()) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    versions = {name: version(name) for name in packages}
    for line in sys.stdin:
        value = work(bool(json.loads(line)["quick"]))
        answers.write(json.dumps({"value": value, "peak_mib": round(peak_mib(), 1), "versions": versions}) + "\n")
        answers.flush()


def peak_mib() -> float:
    """Return the peak memory of this process."""
    try:  # on Linux getrusage counts from the fork on, so it includes the parent's memory
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 2**10
    except OSError:
        pass
    # On Linux the peak is in KiB, on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
