"""The walker: observes every torch function that a model calls, inside a module or not, and the module it is in.

`torch.overrides.TorchFunctionMode` shows each call once, at the outermost function: `nn.ReLU`, `F.relu`, `torch.relu`,
`Tensor.relu` and `relu_` all arrive here under the plain name "relu". Hooks tell which module is running; they are
removed at the end, also after an exception. Computations outside torch (for example in numpy) are not seen.

The walker also knows which parameters and buffers a call uses: those among its arguments, and those that its arguments
were computed from (a parametrised, pruned, sliced or transposed weight is traced back to the parameter that the
optimiser updates).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(slots=True)
class Visit:
    """One call of a module: its path ("" is the model itself), the number of earlier calls of it, and its own calls."""

    path: str
    module: nn.Module
    number: int
    calls: Counter[str] = field(default_factory=Counter)


class Walker(TorchFunctionMode):
    """Walk a model: `with walker.watching(): model(x)`; override `entered`, `called` and `left` to record.

    Inside modules that are `opaque` nothing is reported: they are reported as a whole, by `left`.
    """

    def __init__(self, model: nn.Module, opaque: Callable[[nn.Module], bool] = lambda module: False) -> None:
        super().__init__()
        self.model = model
        self.opaque = opaque
        self.visits: list[Visit] = []  # those in progress, the outermost first
        self.seen: Counter[str] = Counter()  # calls of each module so far
        self.silent = 0  # opaque modules in progress
        self.functions: Counter[str] = Counter()  # calls of each function so far, including those inside opaque modules
        self.origins: Any = WeakIdKeyDictionary()  # tensor -> names of the parameters and buffers that it comes from
        self.foreign: dict[str, None] = {}  # calls with a tensor of the model that is neither of the two
        for name, weight in (*model.named_parameters(), *model.named_buffers()):
            if weight is not None:
                self.origins[weight] = (name,)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record inside the block; remove the hooks afterwards."""
        with ExitStack() as stack:
            for path, module in self.model.named_modules():
                before = module.register_forward_pre_hook(self._enter(path))
                stack.callback(before.remove)
                after = module.register_forward_hook(self._leave, always_call=True, with_kwargs=True)
                stack.callback(after.remove)
            stack.enter_context(self)
            yield

    def _enter(self, path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            visit = Visit(path, module, self.seen[path])
            self.seen[path] += 1
            self.visits.append(visit)
            self.silent += self.opaque(module)
            self.entered(visit)

        return hook

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        # While `left` processes a whole module it is still silent: its own computations are not the model's.
        opaque = self.opaque(module)
        if self.silent <= opaque:
            self.left(self.visits[-1], (*args, *kwargs.values()), output)
        self.silent -= opaque
        self.visits.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run `func`, then report it."""
        given = kwargs or {}
        name = plain_name(func)
        self.functions[name] += 1
        out = func(*args, **given)
        if not self.silent:
            self._follow(name, args, given, out)
            if self.visits:
                self.called(name, func, args, given, out)
        return out

    def _follow(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Pass the names of parameters on to results computed from them without the input."""
        given = tensors_in(args, kwargs)
        if any(self.depends(one) for one in given):
            return
        names = self.weights_of(given)
        for result in tensors_in(out):
            if result not in self.origins:
                self.origins[result] = names

    def weights_of(self, tensors: Iterable[Tensor]) -> tuple[str, ...]:
        """Return the names of the parameters and buffers that `tensors` were computed from, without the input."""
        known = (one for one in tensors if one in self.origins and not self.depends(one))
        return tuple(dict.fromkeys(name for one in known for name in self.origins[one]))

    def weights_within(self, module: nn.Module) -> tuple[str, ...]:
        """Return the names of all parameters and buffers of a module and of the modules inside it."""
        return self.weights_of((*module.parameters(), *module.buffers()))

    def note_foreign(self, name: str, tensors: Iterable[Tensor]) -> None:
        """Record floating-point tensors that come from no parameter, buffer, input or visible call."""
        for one in tensors:
            if one.is_floating_point() and one.numel() > 1 and one not in self.origins and not self.depends(one):
                path = self.visits[-1].path
                self.foreign[f"a tensor {list(one.shape)} in {name}" + (f" of {path}" if path else "")] = None

    # -- to be overridden ----------------------------------------------------------------------------------------------
    def depends(self, tensor: Tensor) -> bool:
        """Return whether a tensor is known to depend on the model's input."""
        return False

    def entered(self, visit: Visit) -> None:
        """Record that a module starts."""

    def called(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Record a function that the module `self.visits[-1]` called."""

    def left(self, visit: Visit, inputs: Sequence[Any], output: Any) -> None:
        """Record a module's result; `output` is None if it raised."""


def plain_name(func: Any) -> str:
    """Return a torch function's name without the underscores of its in-place or inner form: `relu_` is "relu"."""
    return str(getattr(func, "__name__", func)).strip("_")


def tensors_in(*values: Any) -> list[Tensor]:
    """Return the tensors among `values`; lists, tuples, dictionaries and dataclasses are opened."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(tensors_in(*value))
        elif isinstance(value, Mapping):
            found.extend(tensors_in(*value.values()))
        elif is_dataclass(value) and not isinstance(value, type):
            found.extend(tensors_in(*(getattr(value, one.name) for one in fields(value))))
    return found
