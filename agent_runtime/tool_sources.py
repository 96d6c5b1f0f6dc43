"""Reading what users already have into the parts of a tool: functions, models, dicts, other libraries' tools.

Other libraries are recognised by the shape of their objects; none is imported. What a `Tool` is and does
stands in tools.py.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typing_extensions
from docstring_parser import Docstring, ParseError
from docstring_parser import parse as parse_docstring
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from .errors import SchemaError


class Hidden:
    """Marks a parameter the model never sees, `ctx: Annotated[Session, Hidden]`; the context fills it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What was read: the parts of a tool."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    function: Callable[..., Any] | None = None
    arguments_model: type[BaseModel] | None = None
    field_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    needed_hidden: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_source(x: Any, *, name: str | None, hidden: tuple[str, ...]) -> Source:
    """The parts of anything that can be a tool.

    Raises:
        SchemaError: it cannot be one; says why, and where.
    """
    if isinstance(x, Mapping):
        return _from_dict(x, name, hidden)
    if isinstance(x, type):
        return _from_class(x, name, hidden)
    if _is_langchain(x):
        return _from_langchain(x, name, hidden)
    if isinstance(getattr(x, "name", None), str) and isinstance(getattr(x, "inputSchema", None), Mapping):
        described = {
            "name": x.name,
            "description": getattr(x, "description", ""),
            "inputSchema": x.inputSchema,
        }
        return _from_dict(described, name, hidden)
    if callable(x):
        return _from_function(x, name, hidden)
    raise SchemaError(
        f"a {type(x).__name__} cannot be a tool: give a function, a pydantic model, a dataclass, "
        "a TypedDict, a tool dict, or a LangChain tool",
        tool=name or type(x).__name__,
    )


# -- dicts


def _from_dict(x: Mapping[str, Any], name: str | None, hidden: tuple[str, ...]) -> Source:
    """OpenAI (both forms), Anthropic, MCP, `name` with `parameters`, or a schema with a title."""
    body = x["function"] if isinstance(x.get("function"), Mapping) else x
    kind = x.get("type")
    is_schema = "name" not in body and ("properties" in body or kind == "object" or "$ref" in body)
    given = body.get("title") if is_schema else body.get("name")
    chosen = name or given
    if not isinstance(chosen, str) or not chosen:
        raise SchemaError(
            "this dict has no name: give {'name', 'description', 'parameters'}, an OpenAI tool dict, "
            "or a schema with a title",
            tool="?",
            keyword="title" if is_schema else "name",
        )
    if not is_schema and kind not in (None, "function", "custom", "object", "dict"):
        raise SchemaError(
            f"tools of type {kind!r} are not supported: use 'function'", tool=chosen, keyword="type"
        )
    parameters = body if is_schema else _parameters(body, chosen)
    description = body.get("description") or ""
    if not isinstance(description, str):
        raise SchemaError(f"expected text, found {description!r}", tool=chosen, keyword="description")
    if is_schema:
        parameters = {key: value for key, value in body.items() if key not in ("title", "description")}
    notes: tuple[str, ...] = ()
    if not any(key in parameters for key in ("type", "$ref", "anyOf", "oneOf", "allOf")):
        if parameters:
            notes = ("$: read parameters without a type as an object",)
        parameters = {"type": "object", **parameters}
    parameters = _without_hidden(parameters, hidden)
    return Source(
        name=chosen,
        description=description,
        parameters=parameters,
        hidden=hidden,
        needed_hidden=hidden,
        notes=notes,
    )


def _parameters(body: Mapping[str, Any], tool: str) -> Mapping[str, Any]:
    found = [key for key in ("parameters", "inputSchema", "input_schema", "args_schema") if key in body]
    parameters = body[found[0]] if found else None
    if parameters is None:
        return {"type": "object", "properties": {}}
    if isinstance(parameters, type):
        return _from_class(parameters, tool, ()).parameters
    if not isinstance(parameters, Mapping):
        raise SchemaError(
            f"expected a JSON Schema, found {type(parameters).__name__}", tool=tool, keyword=found[0]
        )
    return parameters


def _without_hidden(parameters: Mapping[str, Any], hidden: tuple[str, ...]) -> Mapping[str, Any]:
    """The schema without hidden properties."""
    if not hidden:
        return parameters
    result = dict(parameters)
    if isinstance(result.get("properties"), Mapping):
        result["properties"] = {
            key: value for key, value in result["properties"].items() if key not in hidden
        }
    if isinstance(result.get("required"), list):
        result["required"] = [key for key in result["required"] if key not in hidden]
    return result


# -- classes


class _PlainSchema(GenerateJsonSchema):
    """Pydantic's JSON Schema as a model can best write it."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No title for every field: the prompt pays for each token."""
        return False

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Decimals are written as numbers; pydantic would also take any text."""
        result = super().decimal_schema(schema)
        return next((part for part in result.get("anyOf", ()) if part.get("type") == "number"), result)


def _from_class(x: Any, name: str | None, hidden: tuple[str, ...]) -> Source:
    chosen = name or x.__name__
    if issubclass(x, BaseModel):
        model: type[BaseModel] | None = x
        adapter: TypeAdapter[Any] = TypeAdapter(x)
    elif dataclasses.is_dataclass(x) or typing_extensions.is_typeddict(x):
        model = None
        adapter = _adapter(_portable(x), chosen)
    elif callable(getattr(x, "model_json_schema", None)):
        return _from_dict({"name": chosen, "parameters": x.model_json_schema()}, name, hidden)
    elif callable(getattr(x, "schema", None)) and hasattr(x, "__fields__"):  # a model of pydantic 1
        return _from_dict({"name": chosen, "parameters": x.schema()}, name, hidden)
    else:
        raise SchemaError(
            f"the class {x.__name__} cannot be a tool: give a pydantic model, a dataclass or a TypedDict",
            tool=chosen,
        )
    schema = _json_schema(adapter, chosen)
    documented = _documented(x)
    properties = schema.get("properties", {})
    for parameter in documented.params:
        if parameter.arg_name in properties and parameter.description:
            properties[parameter.arg_name].setdefault("description", parameter.description)
    schema.pop("title", None)
    schema.pop("description", None)
    return Source(
        name=chosen,
        description=_description_of(documented),
        parameters=_without_hidden(schema, hidden),
        arguments_model=model,
        hidden=hidden,
        needed_hidden=hidden,
    )


def _adapter(annotation: Any, tool: str, path: str = "$") -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, TypeError, NameError) as error:
        raise SchemaError(_first_line(error), tool=tool, path=path) from error


def _json_schema(adapter: TypeAdapter[Any], tool: str, path: str = "$") -> dict[str, Any]:
    try:
        return adapter.json_schema(schema_generator=_PlainSchema)
    except (PydanticUserError, NameError) as error:
        raise SchemaError(_first_line(error), tool=tool, path=path) from error


def _first_line(error: Exception) -> str:
    return f"its type has no JSON Schema: {str(error).strip().splitlines()[0]}"


def _portable(annotation: Any) -> Any:
    """The annotation with every `typing.TypedDict` as one pydantic can read on Python 3.11."""
    if (
        isinstance(annotation, type)
        and typing.is_typeddict(annotation)
        and annotation not in _known_typed_dicts
    ):
        return _portable_typed_dict(annotation)
    if isinstance(annotation, type) and annotation in _known_typed_dicts:
        return _known_typed_dicts[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal or not arguments:
        return annotation
    inner = tuple(_portable(argument) for argument in arguments)
    if all(new is old for new, old in zip(inner, arguments, strict=True)):
        return annotation
    if origin is Annotated:
        return Annotated[(inner[0], *arguments[1:])]
    if (
        origin in (typing.Union, getattr(typing, "UnionType", None))
        or type(annotation).__name__ == "UnionType"
    ):
        return typing.Union[inner]  # noqa: UP007  # built from a tuple
    return annotation.copy_with(inner) if hasattr(annotation, "copy_with") else origin[inner]


_known_typed_dicts: dict[type, Any] = {}


def _portable_typed_dict(x: Any) -> Any:
    hints = typing.get_type_hints(x, include_extras=True)
    required = getattr(x, "__required_keys__", frozenset(hints))
    fields = {
        key: _portable(hint) if key in required else typing_extensions.NotRequired[_portable(hint)]
        for key, hint in hints.items()
    }
    made: Any = typing_extensions.TypedDict(x.__name__, fields)  # type: ignore[misc]  # made at run time
    made.__doc__ = x.__doc__
    return made


def _documented(x: Any) -> Docstring:
    """The object's own docstring; not one inherited, nor the one a dataclass writes for itself."""
    own = inspect.getdoc(x) if not isinstance(x, type) else inspect.cleandoc(x.__dict__.get("__doc__") or "")
    if isinstance(x, type) and dataclasses.is_dataclass(x) and own and own.startswith(f"{x.__name__}("):
        own = ""
    try:
        return parse_docstring(own or "")
    except ParseError:
        plain = Docstring()
        plain.short_description = own
        return plain


def _description_of(documented: Docstring) -> str:
    parts = (documented.short_description, documented.long_description)
    return "\n\n".join(part.strip() for part in parts if part and part.strip())


# -- functions


def _from_function(x: Callable[..., Any], name: str | None, hidden: tuple[str, ...]) -> Source:
    chosen = name or _function_name(x)
    signature, hints = _signature(x, chosen)
    documented = _documented(inspect.unwrap(getattr(x, "func", x)))
    described = {parameter.arg_name: parameter.description for parameter in documented.params}
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    hidden_names: list[str] = []
    needed: list[str] = []
    notes: list[str] = []
    for parameter in signature.parameters.values():
        annotation = hints.get(parameter.name, Any)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            notes.append(f"$: {parameter} takes whatever is left over, which a call never has")
            continue
        _refuse_unusual(parameter, x, chosen)
        if parameter.name in hidden or _is_hidden(annotation):
            hidden_names.append(parameter.name)
            if parameter.default is parameter.empty:
                needed.append(parameter.name)
            continue
        if parameter.name not in hints:
            notes.append(f"$.properties.{parameter.name}: no type hint, so anything is allowed")
        field = f"argument_{len(fields)}"  # `json` or `_x` would clash with pydantic's own names
        names[parameter.name] = field
        fields[field] = _field(parameter, _portable(annotation), described.get(parameter.name))
    unknown = set(hidden) - set(hidden_names)
    if unknown:
        raise SchemaError(
            f"hidden parameter {sorted(unknown)[0]!r} is not a parameter of the function", tool=chosen
        )
    model = _model(fields, names, chosen)
    schema = _json_schema(TypeAdapter(model), chosen) if fields else {"type": "object", "properties": {}}
    schema.pop("title", None)
    return Source(
        name=chosen,
        description=_description_of(documented),
        parameters=schema,
        function=x,
        arguments_model=model,
        field_names=names,
        hidden=tuple(hidden_names),
        needed_hidden=tuple(needed),
        notes=tuple(notes),
    )


def _function_name(x: Callable[..., Any]) -> str:
    inner = getattr(x, "func", x)  # functools.partial
    found = getattr(inner, "__name__", None) or type(inner).__name__
    if found == "<lambda>":
        raise SchemaError("a lambda has no name: give tool(..., name='...')", tool="<lambda>")
    return str(found)


def _signature(x: Callable[..., Any], tool: str) -> tuple[inspect.Signature, dict[str, Any]]:
    inner = getattr(x, "func", x)
    target = inner if inspect.isroutine(inner) else type(inner).__call__
    try:
        signature = inspect.signature(x)
        hints = typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"its signature cannot be read: {error}", tool=tool) from error
    except NameError as error:
        raise SchemaError(
            f"a type hint cannot be resolved: {error}. Import it at module level, outside TYPE_CHECKING",
            tool=tool,
        ) from error
    return signature, hints


def _refuse_unusual(parameter: inspect.Parameter, x: Callable[..., Any], tool: str) -> None:
    path = f"$.properties.{parameter.name}"
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise SchemaError(
            "positional-only parameters cannot be called by name: remove the '/'", tool=tool, path=path
        )
    if (
        parameter.name in ("self", "cls")
        and parameter.annotation is parameter.empty
        and not inspect.ismethod(x)
    ):
        raise SchemaError(
            f"{parameter.name!r} belongs to a class: bind the method of an object, tool(thing.method)",
            tool=tool,
            path=path,
        )


_INJECTED = ("InjectedToolArg", "_DirectlyInjectedToolArg")


def _is_hidden(annotation: Any) -> bool:
    """Marked with `Hidden`, or with LangChain's marker for injected arguments."""
    marks = annotation.__metadata__ if typing.get_origin(annotation) is Annotated else ()
    base = typing.get_args(annotation)[0] if marks else annotation
    for mark in (*marks, typing.get_origin(base) or base):
        mro = getattr(mark if isinstance(mark, type) else type(mark), "__mro__", ())
        if Hidden in mro or any(parent.__name__ in _INJECTED for parent in mro):
            return True
    return False


def _field(parameter: inspect.Parameter, annotation: Any, description: str | None) -> tuple[Any, FieldInfo]:
    marks = annotation.__metadata__ if typing.get_origin(annotation) is Annotated else ()
    is_described = any(getattr(mark, "description", None) for mark in marks)
    # A bare string is how many write a description: Annotated[int, "Number of days"].
    said = next((mark for mark in marks if isinstance(mark, str)), None)
    default = parameter.default if parameter.default is not parameter.empty else ...
    shown: dict[str, Any] = {} if is_described else {"description": said or description}
    if isinstance(default, FieldInfo):
        default.alias = default.validation_alias = default.serialization_alias = parameter.name
        if default.description is None:
            default.description = said or description
        return annotation, default
    return annotation, Field(default=default, alias=parameter.name, **shown)


def _model(fields: dict[str, Any], names: dict[str, str], tool: str) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", protected_namespaces=())
    title = re.sub(r"\W", "_", tool) or "arguments"
    try:
        return create_model(title, __config__=config, **fields)
    except (PydanticUserError, TypeError, NameError) as error:
        for name, field in names.items():
            _adapter(fields[field][0], tool, f"$.properties.{name}")
        raise SchemaError(_first_line(error), tool=tool) from error


# -- LangChain


def _is_langchain(x: Any) -> bool:
    return isinstance(getattr(x, "name", None), str) and callable(getattr(x, "ainvoke", None)) and (
        hasattr(x, "args_schema") or hasattr(x, "tool_call_schema") or hasattr(x, "get_input_schema")
    )  # fmt: skip


def _from_langchain(x: Any, name: str | None, hidden: tuple[str, ...]) -> Source:
    chosen = name or x.name
    shown = getattr(x, "tool_call_schema", None) or getattr(x, "args_schema", None) or x.get_input_schema()
    whole = getattr(x, "args_schema", None) or shown
    parameters = _schema_of(shown)
    everything = _schema_of(whole).get("properties", {}) if whole is not shown else {}
    injected = tuple(
        key for key in _argument_names(whole, everything) if key not in parameters.get("properties", {})
    )
    hidden_names = tuple(dict.fromkeys((*hidden, *injected)))

    async def invoke(**arguments: Any) -> Any:
        return await x.ainvoke(arguments)

    invoke.__name__ = "invoke"
    parameters = {key: value for key, value in parameters.items() if key not in ("title", "description")}
    return Source(
        name=chosen,
        description=getattr(x, "description", "") or "",
        parameters=_without_hidden({"type": "object", **parameters}, hidden_names),
        function=invoke,
        hidden=hidden_names,
    )


def _argument_names(whole: Any, everything: Mapping[str, Any]) -> tuple[str, ...]:
    fields = getattr(whole, "model_fields", None)
    if fields is None:  # not of pydantic 2, whose classes warn when they are asked
        fields = getattr(whole, "__fields__", None)
    return tuple(fields) if isinstance(fields, Mapping) else tuple(everything)


def _schema_of(model: Any) -> dict[str, Any]:
    if isinstance(model, Mapping):
        return dict(model)
    if isinstance(model, type) and issubclass(model, BaseModel):
        try:
            return model.model_json_schema(schema_generator=_PlainSchema)
        except PydanticUserError:  # injected arguments may be of any type at all
            return {}
    return dict(model.schema())
