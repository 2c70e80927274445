"""Every error threegen raises on purpose, and how it warns.

Each message says what and where, what was expected, what was found and what to do. The user can correct all of them, so
the command line prints the sentence and exits with code 2. Any other exception is a bug of threegen.
"""

import sys
import warnings


class ThreegenError(Exception):
    """The common base class: catch it to catch every error that threegen raises on purpose."""


class ConfigError(ThreegenError, ValueError):
    """A setting, a name or a combination of them cannot work."""


class MissingExtraError(ConfigError):
    """An optional package is not installed; the message names the extra of threegen that installs it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)

    @classmethod
    def of(cls, what: str, package: str, extra: str) -> "MissingExtraError":
        """Return the error for `what`, which needs `package`; `pip install threegen[extra]` installs it."""
        return cls(f'{what} needs {package}, which is not installed; pip install "threegen[{extra}]"')


class DataError(ThreegenError, ValueError):
    """A file or an array is damaged, is not what it says it is, or holds values out of range."""


class ShapeError(ThreegenError, ValueError):
    """A tensor does not have the shape or the type that the model or the rule expects."""


class NumericError(ThreegenError):
    """A value that must be finite is not: an input, a loss, a gradient or an update."""


class CheckpointError(ThreegenError):
    """A checkpoint is damaged, belongs to another model, or could not be written."""


class ResourceError(ThreegenError):
    """A job needs more memory or disk space than is available; raised before anything is allocated."""


class WorkerError(ThreegenError):
    """Another process of a distributed run has died or does not answer."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP reached a training run: the batch was finished and, if there is a folder, saved.

    `folder` is its path, or an empty text; `signal` is the number of the signal.
    """

    def __init__(self, folder: str = "", signal: int = 2) -> None:
        super().__init__("training was interrupted" + (f"; everything is saved in {folder}" if folder else ""))
        self.folder = folder
        self.signal = signal


def warn_user(sentence: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the line of the user's program that called threegen, however deep inside it was found.

    Without such a line, as on the command line, the place is where the program began.
    """
    frame = found = sys._getframe(1)
    while frame.f_back is not None:
        inside = _is_ours(str(frame.f_globals.get("__name__")))  # code run by exec may have none
        frame = frame.f_back
        if inside:
            found = frame
    place = (found.f_code.co_filename, found.f_lineno, found.f_globals.get("__name__"))
    warnings.warn_explicit(sentence, category, *place, registry=found.f_globals.setdefault("__warningregistry__", {}))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]
