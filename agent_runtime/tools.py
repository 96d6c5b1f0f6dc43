"""Tools: what the model may call. `tool(x)` binds a function, a model, a dict or another library's tool.

How each of those is read stands in tool_sources.py, what its schema means in scaffold/schema, and how a
call is run in executor.py.
"""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, overload

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from pydantic import BaseModel

from .errors import SchemaError, ToolFailed
from .scaffold.scaffold import build_scaffold
from .scaffold.schema import compile_call
from .scaffold.shape import ObjectShape
from .tool_sources import Hidden, Source, read_source

__all__ = ["Hidden", "Tool", "bind_tools", "tool"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Tool:
    """Something the model may call: a name, a schema, and the function behind it, if any.

    Making one compiles its schema, so a schema that cannot be honoured is refused here and not in the
    middle of a conversation. A tool made from a function is still called like that function.

    Attributes:
        parameters: JSON Schema 2020-12 of the arguments, self-contained.
        function: sync or async; takes the arguments by name. None for a tool that is only described.
        arguments_model: validates arguments and makes typed objects of them.
        timeout_s: seconds one attempt may take; None leaves it to the deployment.
        is_idempotent: whether it may be tried again after a failure.
        hidden: parameters the model never sees, filled from the run's context.
        call_shapes: what a call's arguments may look like, compiled; any one of them.
        notes: what of the schema was read differently from how it was written.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    function: Callable[..., Any] | None = None
    arguments_model: type[BaseModel] | None = None
    timeout_s: float | None = None
    is_idempotent: bool = False
    hidden: tuple[str, ...] = ()
    call_shapes: tuple[ObjectShape, ...] = field(init=False, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    _field_names: Mapping[str, str] = field(default_factory=dict, repr=False)
    _needed_hidden: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check the name and compile the schema.

        Raises:
            SchemaError: the name or the schema cannot be used.
        """
        _check_name(self.name)
        if self.timeout_s is not None and not (self.timeout_s > 0 and math.isfinite(self.timeout_s)):
            raise SchemaError(f"timeout_s must be above 0, found {self.timeout_s}", tool=self.name)
        compiled = compile_call(self.parameters, tool_name=self.name)
        notes = tuple(dict.fromkeys((*self.notes, *compiled.notes)))
        object.__setattr__(self, "parameters", compiled.schema)
        object.__setattr__(self, "call_shapes", _writable_shapes(self.name, compiled.shapes))
        object.__setattr__(self, "notes", notes)
        for note in notes:
            logger.info("tool %s: %s", self.name, note)

    @property
    def call_shape(self) -> ObjectShape:
        """The first of `call_shapes`: the only one, unless the schema has alternatives at its root."""
        return self.call_shapes[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function behind the tool, as if it had never been bound."""
        if self.function is None:
            raise TypeError(f"the tool {self.name!r} is only described: it has no function to call")
        return self.function(*args, **kwargs)

    def validate(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """What is wrong with arguments, one readable sentence each; empty when they are valid."""
        errors = sorted(
            self._validator.iter_errors(dict(arguments)), key=lambda error: [str(step) for step in error.path]
        )
        return tuple(_sentence(error) for error in errors)

    def prepare(
        self, arguments: Mapping[str, Any], *, context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """JSON arguments as the function wants them: typed objects, and hidden parameters from `context`.

        Arguments that were not given stay absent, so the function's own defaults apply.

        Raises:
            ToolFailed: the arguments are not valid, or a hidden parameter is not in the context.
        """
        context = context or {}
        values = self._typed(arguments)
        for name in self.hidden:
            if name in context:
                values[name] = context[name]
            elif name in self._needed_hidden and self.function is not None:
                raise ToolFailed(
                    f"{self.name} needs {name!r} from the run's context, which does not have it",
                    tool_name=self.name,
                )
        return values

    @cached_property
    def _validator(self) -> Any:
        return _Validator(self.parameters, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def _typed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self.arguments_model is None:
            problems = self.validate(arguments)
            if problems:
                raise ToolFailed(
                    f"the arguments of {self.name} are not valid: {'; '.join(problems)}", tool_name=self.name
                )
            return dict(arguments)
        try:
            model = self.arguments_model.model_validate(dict(arguments))
        except ValueError as error:
            raise ToolFailed(
                f"the arguments of {self.name} are not valid: {_pydantic_problems(error)}",
                tool_name=self.name,
            ) from error
        outside = {inside: name for name, inside in self._field_names.items()}
        return {outside.get(inside, inside): getattr(model, inside) for inside in model.model_fields_set}


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise SchemaError("a tool needs a name", tool=str(name), keyword="name")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise SchemaError("a tool's name must not hold control characters", tool=name, keyword="name")


def _sentence(error: ValidationError) -> str:
    place = ".".join(str(step) for step in error.absolute_path) or "arguments"
    text = error.message if len(error.message) <= 300 else error.message[:297] + "..."
    return f"{place}: {text}"


def _pydantic_problems(error: ValueError) -> str:
    problems = getattr(error, "errors", None)
    if not callable(problems):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(step) for step in item['loc']) or 'arguments'}: {item['msg']}"
        for item in problems(include_url=False)
    )


def _multiple_of(_: Any, step: float, value: Any, __: Any) -> Iterator[ValidationError]:
    """`multipleOf` on decimals as they are written; binary fractions call 19.99 no multiple of 0.01."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value) or Fraction(repr(value)) % Fraction(repr(step)) != 0:
        yield ValidationError(f"{value!r} is not a multiple of {step!r}")


_Validator: Any = extend(Draft202012Validator, {"multipleOf": _multiple_of})  # type: ignore[no-untyped-call]


@overload
def tool(
    x: Any,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float | None = None,
    is_idempotent: bool = False,
    hidden: Iterable[str] = (),
) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float | None = None,
    is_idempotent: bool = False,
    hidden: Iterable[str] = (),
) -> Callable[[Any], Tool]: ...


def tool(
    x: Any = None,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float | None = None,
    is_idempotent: bool = False,
    hidden: Iterable[str] = (),
) -> Tool | Callable[[Any], Tool]:
    """Bind anything that can be a tool; also a decorator, with or without parentheses.

    Args:
        x: a typed function (its docstring gives the descriptions), a pydantic model, a dataclass or TypedDict
            class, an OpenAI, Anthropic or MCP tool dict, `{"name", "description", "parameters"}`, a JSON
            Schema with a title, a LangChain tool, or a `Tool`.
        name: instead of its own name.
        description: instead of its own description.
        timeout_s: seconds one attempt may take.
        is_idempotent: whether it may be tried again after a failure.
        hidden: parameters the model never sees; the run's context fills them.

    Raises:
        SchemaError: it cannot be a tool, or its schema cannot be honoured; carries tool, path and keyword.
    """
    if x is None:
        return lambda inner: tool(
            inner,
            name=name,
            description=description,
            timeout_s=timeout_s,
            is_idempotent=is_idempotent,
            hidden=hidden,
        )
    if isinstance(x, Tool):
        return _rebound(x, name, description, timeout_s, is_idempotent)
    names = (hidden,) if isinstance(hidden, str) else tuple(hidden)
    source: Source = read_source(x, name=name, hidden=names)
    return Tool(
        name=source.name,
        description=source.description if description is None else description,
        parameters=source.parameters,
        function=source.function,
        arguments_model=source.arguments_model,
        timeout_s=timeout_s,
        is_idempotent=is_idempotent,
        hidden=source.hidden,
        notes=source.notes,
        _field_names=source.field_names,
        _needed_hidden=source.needed_hidden,
    )


def _writable_shapes(name: str, shapes: tuple[ObjectShape, ...]) -> tuple[ObjectShape, ...]:
    """Those of which a call can be written; what no call can satisfy is refused now and not in a turn."""
    found: list[ObjectShape] = []
    refusal: SchemaError | None = None
    for shape in shapes:
        try:
            build_scaffold(name, shape)
        except SchemaError as error:
            refusal = refusal or error
        else:
            found.append(shape)
    if not found and refusal is not None:
        raise refusal
    return tuple(found)


def _rebound(
    x: Tool, name: str | None, description: str | None, timeout_s: float | None, is_idempotent: bool
) -> Tool:
    changes: dict[str, Any] = {
        key: value
        for key, value in (("name", name), ("description", description), ("timeout_s", timeout_s))
        if value is not None
    }
    if is_idempotent:
        changes["is_idempotent"] = True
    return replace(x, **changes) if changes else x


_TOOL_DICT_KEYS = frozenset(
    ("function", "name", "parameters", "properties", "inputSchema", "input_schema", "title")
)


def bind_tools(xs: Any) -> tuple[Tool, ...]:
    """Bind several tools at once: a list of anything `tool` takes, a dict of name to such, or a single one.

    Raises:
        SchemaError: one of them cannot be a tool, or two share a name.
    """
    if xs is None:
        return ()
    if (
        isinstance(xs, Mapping)
        and xs
        and not (_TOOL_DICT_KEYS & xs.keys() and not all(map(_can_be_tool, xs.values())))
    ):
        bound = tuple(tool(x, name=str(name)) for name, x in xs.items())
    elif isinstance(xs, Mapping | Tool | type | str) or not isinstance(xs, Iterable):
        bound = () if isinstance(xs, Mapping) and not xs else (tool(xs),)
    else:
        bound = tuple(tool(x) for x in xs)
    seen: set[str] = set()
    for item in bound:
        if item.name in seen:
            raise SchemaError(
                "two tools have this name: give one of them another name", tool=item.name, keyword="name"
            )
        seen.add(item.name)
    return bound


def _can_be_tool(x: Any) -> bool:
    return isinstance(x, Tool | type | Mapping) or callable(x)
