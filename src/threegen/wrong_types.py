"""Find the argument of a failed call whose type does not fit its annotation: the error of a public function names it.

Nothing is checked before a call: a public function or constructor runs as it is written. If it fails with an error of
Python, torch or numpy, its arguments are compared with the annotations. If one does not fit, the error becomes a
`ConfigError` that names it, with the first error as its cause. Otherwise the error passes unchanged.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from threegen.errors import ConfigError, ThreegenError

_MOST_ENTRIES = 100  # of a sequence that are checked


def name_wrong_types(target: Any) -> Any:
    """Return a function, or a class with its constructor changed in place, whose failed calls name the wrong argument.

    Anything else is returned as it is; a second call changes nothing.
    """
    if inspect.isclass(target):
        own = vars(target).get("__init__")
        if inspect.isfunction(own) and not hasattr(own, "names_wrong_types"):
            target.__init__ = _explained(own, target.__name__)  # type: ignore[method-assign]
        return target
    if not inspect.isfunction(target) or hasattr(target, "names_wrong_types"):
        return target
    found = _explained(target, target.__name__)
    setattr(sys.modules[target.__module__], target.__name__, found)  # pickle finds it under its name
    return found


def _explained(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError, AttributeError, RuntimeError, LookupError, OverflowError) as problem:
            said = None if isinstance(problem, ThreegenError) else wrong_argument(function, name, args, kwargs)
            if said is None:
                raise
            raise ConfigError(said) from problem

    call.names_wrong_types = True  # type: ignore[attr-defined]
    return call


def wrong_argument(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> str | None:
    """Return a sentence about the first argument whose type is not that of its annotation, or None."""
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
        hints = typing.get_type_hints(function)
    except (TypeError, NameError):  # the call does not fit the signature, or a name exists for type checkers only
        return None
    for argument, value in given.items():
        kind = signature.parameters[argument].kind
        single = kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if single and argument in hints and not fits(value, hints[argument]):
            wanted = signature.parameters[argument].annotation
            wanted = wanted if isinstance(wanted, str) else inspect.formatannotation(wanted)
            return f"{name}: {argument} must be {wanted}, got {_shown(value)}"
    return None


def _shown(value: object) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} {list(shape)}"
    return f"{type(value).__name__} {value!r}"[:100]


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value has the type of an annotation; True if that cannot be decided."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is not None:
        return _fits_container(value, origin, inner)
    if hint is None or hint is type(None):
        return value is None
    if hint in (bool, int, float):
        return _fits_number(value, hint)
    if hint is Any or hint is object or not inspect.isclass(hint):
        return True
    if getattr(hint, "_is_protocol", False):
        return all(hasattr(value, part) for part in _parts(hint))
    return isinstance(value, hint)


def _fits_number(value: Any, hint: type) -> bool:
    kind = str(getattr(getattr(value, "dtype", None), "kind", "")) if getattr(value, "ndim", None) == 0 else ""
    if hint is bool:
        return isinstance(value, bool) or kind == "b"
    if isinstance(value, bool):
        return False
    if kind:  # numpy: a scalar, or an array with one element
        return kind in ("iu" if hint is int else "iuf")
    return isinstance(value, int if hint is int else (int, float))


def _fits_container(value: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if origin is collections.abc.Callable:
        return callable(value)
    if not inspect.isclass(origin):
        return True
    # a text is a sequence of texts but never meant as one; a tensor without dimensions claims to be iterable
    if (isinstance(value, str) and origin is not type) or getattr(value, "ndim", None) == 0:
        return False
    if not isinstance(value, origin):
        return False
    if isinstance(value, collections.abc.Mapping):
        return len(inner) != 2 or all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if isinstance(value, tuple) and origin is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(fits(own, one) for own, one in zip(value, inner, strict=True))
    if isinstance(value, collections.abc.Sequence) and inner:
        return all(fits(own, inner[0]) for own in value[:_MOST_ENTRIES])
    return True


def _parts(protocol: Any) -> set[str]:
    """Return the names that a protocol requires."""
    named = {name for base in protocol.__mro__ for name in getattr(base, "__annotations__", {})}
    return named | {
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False)
        for name in vars(base)
        if not name.startswith("_")
    }
