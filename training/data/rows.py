"""From the loose shapes of public rows to checked examples.

The rulings: arguments are typed and validated against their tool's schema; an absent argument is absent,
never null; all calls of a turn are kept, and so are turns without a call; a row that cannot be made right
is dropped and counted.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidSchema

from agent_runtime.messages import EvidenceSpan

from .example import Example, ValuePath, leaves
from .report import ReadReport

_TYPES = {
    # fmt: off
    "str": "string",
    "string": "string",
    "text": "string",
    "date": "string",
    "enum": "string",
    "char": "string",
    "int": "integer",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "number": "number",
    "double": "number",
    "numeric": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "object": "object",
    "hashmap": "object",
    "map": "object",
    # fmt: on
}
_REF = re.compile(r"^\$?var_?\d+|^\$.*\$$|^<ref>")


class RowError(Exception):
    """A row that cannot become an example; its text is the reason counted."""


def parse_json(text: Any, what: str) -> Any:
    """A value that may be JSON text, or (as some data sets write it) a Python literal."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise RowError(f"{what} is not JSON") from None


def read_type(name: Any) -> dict[str, Any]:
    """A type as data sets write it ("List[int], optional") as JSON Schema."""
    if isinstance(name, list):
        return {"type": [read_type(option).get("type", "string") for option in name]}
    text = str(name).split(",")[0].strip()
    outer, bracket, inner = text.partition("[")
    schema_type = _TYPES.get(outer.strip().lower())
    if schema_type is None:
        return {}
    schema: dict[str, Any] = {"type": schema_type}
    if bracket and schema_type == "array":
        items = read_type(inner.rstrip("]"))
        if items:
            schema["items"] = items
    return schema


def read_schema(schema: Any) -> dict[str, Any]:
    """A parameter's schema with types corrected, all the way down."""
    if not isinstance(schema, Mapping):
        return {}
    read = dict(schema)
    if "type" in read and read["type"] not in (
        "string",
        "integer",
        "number",
        "boolean",
        "array",
        "object",
        "null",
    ):
        named = read_type(read.pop("type"))
        read = {**named, **read}
    if isinstance(read.get("properties"), Mapping):
        read["properties"] = {str(name): read_schema(inner) for name, inner in read["properties"].items()}
        required = read.get("required")
        read["required"] = (
            [name for name in required if name in read["properties"]] if isinstance(required, list) else []
        )
    if "items" in read:
        read["items"] = read_schema(read["items"])
    if not isinstance(read.get("enum", []), list) or read.get("enum") == []:
        del read["enum"]
    return read


def read_tool(tool: Any) -> dict[str, Any]:
    """A tool in any of the usual shapes as `{"name", "description", "parameters"}`."""
    tool = parse_json(tool, "a tool")
    if not isinstance(tool, Mapping):
        raise RowError("a tool is not an object")
    body = tool.get("function", tool)
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str) or not body["name"]:
        raise RowError("a tool has no name")
    parameters = body.get("parameters") or body.get("arguments") or body.get("inputSchema") or {}
    if not isinstance(parameters, Mapping):
        raise RowError("a tool's parameters are not an object")
    if isinstance(parameters.get("properties"), Mapping) and (
        isinstance(parameters.get("type"), str) or "required" in parameters
    ):
        schema = read_schema(parameters)
        if not schema.get("required") and isinstance(body.get("required"), list):
            schema["required"] = [name for name in body["required"] if name in schema["properties"]]
    else:  # xLAM: the properties themselves, "str, optional" marking what may be left out
        properties, required = {}, []
        for name, inner in parameters.items():
            if not isinstance(inner, Mapping):
                continue
            properties[str(name)] = read_schema(inner)
            is_optional = "optional" in str(inner.get("type", "")).lower() or inner.get("default") not in (
                None,
                "",
            )
            if not is_optional and inner.get("required") is not False:
                required.append(str(name))
            properties[str(name)].pop("required", None)
        schema = {"properties": properties, "required": required}
    for name, inner in schema["properties"].items():
        if inner.get("default") in (None, "") and "default" in inner:
            del schema["properties"][name]["default"]
    schema["type"] = "object"
    schema.setdefault("required", [])
    ordered = {"type": "object", "properties": schema.pop("properties"), "required": schema.pop("required")}
    schema.pop("type")
    return {
        "name": body["name"],
        "description": str(body.get("description") or ""),
        "parameters": {**ordered, **schema},
    }


def _typed(value: Any, schema: Mapping[str, Any], report: ReadReport) -> Any:
    """Text that spells a value of the declared type becomes that value."""
    kind = schema.get("type")
    if isinstance(value, str) and kind in ("integer", "number", "boolean", "array", "object"):
        try:
            parsed = json.loads(
                value.lower()
                if kind == "boolean"
                else value.replace(",", "")
                if kind in ("integer", "number")
                else value
            )
        except json.JSONDecodeError:
            return value
        report.repaired[f"text became {kind}"] += 1
        value = parsed
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "string" and isinstance(value, (int, float)) and not isinstance(value, bool):
        report.repaired["number became text"] += 1
        return json.dumps(value)
    if kind == "array" and isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [_typed(item, schema["items"], report) for item in value]
    if kind == "object" and isinstance(value, Mapping) and isinstance(schema.get("properties"), Mapping):
        return read_arguments(value, schema, report)
    return value


def read_arguments(arguments: Any, schema: Mapping[str, Any], report: ReadReport) -> dict[str, Any]:
    """Arguments typed, in schema order, without undeclared keys and without nulls that stand for "absent"."""
    arguments = (
        parse_json(arguments, "arguments")
        if isinstance(arguments, str) and arguments.strip()
        else arguments or {}
    )
    if not isinstance(arguments, Mapping):
        raise RowError("arguments are not an object")
    properties = schema.get("properties") or {}
    for name in arguments:
        if name not in properties:
            report.repaired["undeclared argument removed"] += 1
    read = {}
    for name, inner in properties.items():
        if name not in arguments:
            continue
        value = arguments[name]
        if value is None and "null" not in str(inner.get("type", "")):
            report.repaired["null became absent"] += 1
            continue
        read[name] = _typed(value, inner, report)
    return read


def read_call(call: Any, tools: Mapping[str, dict[str, Any]], report: ReadReport) -> dict[str, Any]:
    """One call, typed and validated against the tool it names."""
    if not isinstance(call, Mapping):
        raise RowError("a call is not an object")
    body = call.get("function", call)
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str):
        raise RowError("a call has no name")
    tool = tools.get(body["name"])
    if tool is None:
        raise RowError("a call names a tool that is not offered")
    raw = body.get("arguments", body.get("parameters", {}))
    arguments = read_arguments(raw, tool["parameters"], report)
    if any(isinstance(value, str) and _REF.match(value) for _, value in leaves(arguments)):
        raise RowError("an argument refers to another call's result")
    try:
        error = next(Draft202012Validator(tool["parameters"]).iter_errors(arguments), None)
    except (InvalidSchema, re.error, TypeError):
        raise RowError("a tool's schema is not valid JSON Schema") from None
    if error is not None:
        raise RowError(f"arguments break the schema ({error.validator})")
    return {"name": body["name"], "arguments": arguments}


def find_evidence(messages: Sequence[Mapping[str, Any]]) -> dict[ValuePath, EvidenceSpan | None]:
    """Where each value stands letter for letter in an earlier user or tool message, the latest first."""
    evidence: dict[ValuePath, EvidenceSpan | None] = {}
    for index, message in enumerate(messages):
        for number, call in enumerate(message.get("tool_calls") or ()):
            for path, value in leaves(call["arguments"]):
                evidence[index, number, path] = _find_value(value, messages[:index])
    return evidence


def _find_value(value: Any, messages: Sequence[Mapping[str, Any]]) -> EvidenceSpan | None:
    if isinstance(value, bool) or value is None or value == "":
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    pattern = re.compile(rf"(?<![\w.]){re.escape(text)}(?!\w|\.\d)")
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["role"] in ("user", "tool"):
            match = pattern.search(messages[at]["content"])
            if match:
                return EvidenceSpan(message_index=at, start=match.start(), end=match.end())
    return None


def build_example(
    *,
    source: str,
    row_id: str,
    tools: Iterable[Any],
    messages: Iterable[Mapping[str, Any]],
    report: ReadReport,
) -> Example:
    """A checked example of raw tools and messages.

    Messages have `role`, `content` and `tool_calls`. What follows the last assistant message is cut.

    Raises:
        RowError: the row cannot be made right; its text is the reason.
    """
    offered = [read_tool(tool) for tool in tools]
    by_name = {tool["name"]: tool for tool in offered}
    if len(by_name) != len(offered):
        if any(by_name[tool["name"]] != tool for tool in offered):
            raise RowError("two different tools have one name")
        offered = list(by_name.values())
        report.repaired["tool listed twice"] += 1
    read: list[dict[str, Any]] = []
    for message in messages:
        role = {"function": "tool", "observation": "tool", "developer": "system"}.get(
            message["role"], message["role"]
        )
        content = message.get("content") or ""
        if not isinstance(content, str):
            content = json.dumps(content, ensure_ascii=False)
        calls = [read_call(call, by_name, report) for call in message.get("tool_calls") or ()]
        read.append({"role": role, "content": content.strip(), **({"tool_calls": calls} if calls else {})})
    while read and read[-1]["role"] != "assistant":
        read.pop()
    for before, message in zip([None, *read], read, strict=False):
        if message["role"] == "tool" and (
            before is None or not (before["role"] == "tool" or "tool_calls" in before)
        ):
            raise RowError("a tool result without a call before it")
    if not any(message["role"] == "user" for message in read):
        raise RowError("no user message before an assistant message")
    if any(
        message["role"] == "assistant" and not message["content"] and "tool_calls" not in message
        for message in read
    ):
        raise RowError("an assistant message says nothing")
    return Example(
        source=source,
        id=row_id,
        kind="public",
        tools=tuple(offered),
        messages=tuple(read),
        evidence=find_evidence(read),
    )


def fingerprint(example: Example) -> bytes:
    """Equal for rows that say and answer the same: system and user texts, and the target."""
    said = [message["content"] for message in example.messages if message["role"] in ("user", "system")]
    text = json.dumps([said, example.target], ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def is_dev_tool(tool: Mapping[str, Any], share: int = 20) -> bool:
    """Whether a tool is held out: decided by its parameters and name, so that all rows agree."""
    identity = json.dumps([tool["name"].lower(), sorted(tool["parameters"].get("properties", {}))])
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=4).digest(), "big") % share == 0


def split_of(example: Example) -> str:
    """`train`, `dev`, or `both` where a row calls tools of either: such a row belongs to neither.

    Rows without calls go by the first tool they offer.
    """
    by_name = {tool["name"]: tool for tool in example.tools}
    called = [by_name[call["name"]] for message in example.messages for call in message.get("tool_calls", ())]
    sides = {is_dev_tool(tool) for tool in called or example.tools[:1]}
    return "both" if len(sides) == 2 else "dev" if sides == {True} else "train"
