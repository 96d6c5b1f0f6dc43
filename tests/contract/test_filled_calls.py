"""Whatever a backbone says, a filled call is valid: hostile logits over schemas as people write them."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zstandard

from agent_runtime.engine.fill import FilledCall, fill_autoregressive
from agent_runtime.engine.sampling import Sampler, Sampling
from agent_runtime.engine.tape import Tape
from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.scaffold import build_scaffold
from agent_runtime.scaffold.walker import CallWalker
from agent_runtime.tools import Tool, tool
from tests.programs import Row, TableBackbone, run_program, tiny_view
from tests.shared_data import shared

VIEW = tiny_view()
_CLOSING = [i for i, text in enumerate(VIEW.vocabulary.tokens) if text[:1] in (b'"', b"}", b"]")]


def restless_rows() -> Any:
    """Random logits that lean towards closing what is open, so that calls end."""
    bank = (np.random.default_rng(0).standard_normal((97, len(VIEW.vocabulary))) * 2).astype(np.float32)
    bank[:, _CLOSING] += 4.0

    def row_after(tokens: tuple[int, ...]) -> Row:
        row: Row = bank[(sum(tokens[-5:]) * 31 + len(tokens)) % len(bank)]
        return row

    return row_after


ROWS = restless_rows()


def filled(bound: Tool, seed: int) -> FilledCall | None:
    frontier = CallFrontier(
        [CallWalker(build_scaffold(bound.name, shape)) for shape in bound.call_shapes],
        vocabulary=VIEW.vocabulary,
        trees=VIEW.trees,
        max_slot_tokens=30,
    )
    tape = Tape()
    tape.write(VIEW.encode('\n{"name": "'))
    sampler = Sampler(Sampling(temperature=0.7, seed=seed))
    return run_program(
        fill_autoregressive(frontier, tape, sampler=sampler, max_length=1500), TableBackbone(ROWS)
    )


def assert_valid(bound: Tool, seed: int) -> bool:
    """Whether a call came about within its length; it must be valid."""
    call = filled(bound, seed)
    if call is None:
        return False
    assert bound.validate(call.arguments) == (), call.text
    assert json.loads(call.text) == {"name": bound.name, "arguments": call.arguments}
    return True


def obj(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


STRING = {"type": "string", "maxLength": 12}
SCHEMAS = {
    "all optional": obj(a=STRING, b={"type": "integer"}, c={"type": "boolean"}, d=obj(e=STRING, f=STRING)),
    "nested": obj("who", who=obj("name", name=STRING, age={"type": "integer", "minimum": 0, "maximum": 150})),
    "rows": obj(
        "items",
        items={
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "items": obj(
                "sku",
                sku={"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
                qty={"type": ["integer", "null"]},
            ),
        },
    ),
    "enums": obj("unit", unit={"enum": ["c", "celsius", 1, 10, None, True]}, level={"const": "high"}),
    "formats": obj(
        "date", "mail", date={"type": "string", "format": "date"}, mail={"type": "string", "format": "email"}
    ),
    "bounds": obj(
        "x",
        "y",
        x={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        y={"type": "integer", "multipleOf": 5},
    ),
    "unions": obj("x", x={"anyOf": [STRING, {"type": "array", "items": STRING}, obj("k", k=STRING)]}),
    "told apart by a constant": obj(
        "shape",
        shape={
            "oneOf": [
                obj("kind", "radius", kind={"const": "circle"}, radius={"type": "number"}),
                obj("kind", "side", kind={"const": "square"}, side={"type": "number"}),
            ]
        },
    ),
    "recursive": {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}},
        "required": ["root"],
        "$defs": {"node": obj("value", value={"type": "integer"}, next={"$ref": "#/$defs/node"})},
    },
    "unique": obj(
        "tags", tags={"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": True}
    ),
    "alternatives at the root": {
        "anyOf": [
            obj("city", city=STRING, days={"type": "integer", "minimum": 1, "maximum": 9}),
            obj(
                "city", "zip", city={"enum": ["Oslo", "Rome"]}, zip={"type": "string", "pattern": "^\\d{4}$"}
            ),
            obj("lat", "lon", lat={"type": "number"}, lon={"type": "number"}),
        ]
    },
    "one of two keys": {
        **obj(id={"type": "integer", "minimum": 0}, name=STRING),
        "oneOf": [{"required": ["id"]}, {"required": ["name"]}],
    },
    "tuple": obj(
        "pair",
        pair={"type": "array", "prefixItems": [STRING, {"type": "integer"}], "minItems": 2, "items": False},
    ),
    "counted": {**obj(a=STRING, b=STRING, c=STRING), "minProperties": 1, "maxProperties": 2},
    "open": obj("settings", settings={"type": "object", "additionalProperties": {"type": "integer"}}),
    "anything": obj("x", x={}),
    "empty": {"type": "object", "properties": {}},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_calls_are_valid_whatever_the_backbone_says(name: str) -> None:
    bound = tool({"name": "do_it", "parameters": SCHEMAS[name]})

    ended = [assert_valid(bound, seed) for seed in range(25)]

    assert sum(ended) >= 20


def bound_tools(schemas: Iterator[Any]) -> Iterator[Tool]:
    for schema in schemas:
        try:
            yield tool({"name": "do_it", "parameters": schema})
        except SchemaError:
            continue


def bench_schemas() -> Iterator[Any]:
    for path in sorted(shared("schemas/jsonschemabench").glob("*.zst")):
        with path.open("rb") as packed:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8")
            for line in itertools.islice(lines, 0, 200, 10):
                schema = json.loads(line)["schema"]
                if isinstance(schema, dict) and schema.get("type") == "object":
                    yield schema


def bfcl_schemas() -> Iterator[Any]:
    for path in sorted(shared("bfcl").glob("*.json")):
        with path.open(encoding="utf-8") as lines:
            for line in itertools.islice(lines, 0, 100, 5):
                yield from (function["parameters"] for function in json.loads(line)["function"])


@pytest.mark.parametrize("schemas", [bench_schemas, bfcl_schemas], ids=["JSONSchemaBench", "BFCL"])
def test_calls_of_public_schemas_are_valid(schemas: Any) -> None:
    ended = [assert_valid(bound, seed=0) for bound in bound_tools(schemas())]

    assert len(ended) >= 20
    assert sum(ended) >= 0.9 * len(ended)
