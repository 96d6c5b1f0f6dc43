"""Readers of public formats, the checks they share, public rows under fresh names, and mixtures."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agent_runtime.errors import ConfigError
from tests.shared_data import shared
from training.data import READERS, Example, MixtureRecipe, ReadReport, leaves, mixture, read_file
from training.data.public import PublicRows
from training.data.renaming import renamed
from training.data.synthetic.draw import Draw

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
QUESTION = "Weather in Paris for 3 days?"
CALL = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
STRING_3 = '"3"'
HERMES = {
    "id": "h1",
    "conversations": [
        {"from": "system", "value": "You call functions. <tools> [...] </tools>"},
        {"from": "human", "value": QUESTION},
        {
            "from": "gpt",
            "value": f"<tool_call>\n{CALL.replace('3', STRING_3)}\n</tool_call>",
        },
        {"from": "tool", "value": '<tool_response>\n{"temp": 21}\n</tool_response>'},
        {"from": "gpt", "value": "It is 21 degrees."},
    ],
    "tools": json.dumps([{"type": "function", "function": WEATHER}]),
}
GLAIVE = {
    "system": "SYSTEM: You have these functions. Use them if required -\n" + json.dumps(WEATHER, indent=4),
    "chat": f"USER: {QUESTION}\n\n\nASSISTANT: <functioncall> "
    '{"name": "get_weather", "arguments": \'{"city": "Paris", "days": 3}\'} <|endoftext|>\n\n\n'
    'FUNCTION RESPONSE: {"temp": 21}\n\n\nASSISTANT: It is 21 degrees. <|endoftext|>\n\n\n',
}
XLAM = {
    "id": 5,
    "query": QUESTION,
    "answers": json.dumps([{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}]),
    "tools": json.dumps(
        [
            {
                "name": "get_weather",
                "description": "Weather.",
                "parameters": {
                    "city": {"description": "City.", "type": "str"},
                    "days": {"description": "Days.", "type": "int, optional", "default": 1},
                },
            }
        ]
    ),
}
APIGEN_MT = {
    "conversations": [
        {"from": "human", "value": QUESTION},
        {
            "from": "function_call",
            "value": '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}',
        },
        {"from": "observation", "value": '{"temp": 21}'},
        {"from": "gpt", "value": "It is 21 degrees."},
    ],
    "tools": json.dumps([WEATHER]),
    "system": "Be kind.",
}
TOOLACE = {
    "system": "Here is a list of functions in JSON format that you can invoke:\n"
    + json.dumps(
        [{**WEATHER, "name": "Get Weather", "parameters": {**WEATHER["parameters"], "type": "dict"}}]
    ),
    "conversations": [
        {"from": "user", "value": QUESTION},
        {"from": "assistant", "value": '[Get Weather(city="Paris", days=3)]'},
        {"from": "tool", "value": '[{"temp": 21}]'},
        {"from": "assistant", "value": "It is 21 degrees."},
    ],
}
WHEN2CALL = {
    "tools": [json.dumps(WEATHER)],
    "messages": [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": f"<TOOLCALL>[{CALL}]</TOOLCALL>",
        },
    ],
}
NESTFUL = {
    "sample_id": "n1",
    "input": QUESTION,
    "output": json.dumps(
        [
            {"name": "get_weather", "label": "$var_1", "arguments": {"city": "Paris", "days": 3}},
            {"name": "get_weather", "label": "$var_2", "arguments": {"city": "$var_1.name$"}},
        ]
    ),
    "tools": json.dumps([WEATHER]),
}
OPENAI = {
    "messages": [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Paris", "days": 3}'},
                }
            ],
        },
    ],
    "tools": [{"type": "function", "function": WEATHER}],
}
NORMALISED = {
    "source": "house",
    "id": "1",
    "tools": [WEATHER],
    "messages": [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}],
        },
    ],
    "split": "train",
}
BFCL = {
    "id": "simple_0",
    "question": [[{"role": "user", "content": QUESTION}]],
    "function": [{**WEATHER, "parameters": {**WEATHER["parameters"], "type": "dict"}}],
    "ground_truth": [{"get_weather": {"city": ["Paris", "paris"], "days": [3, ""]}}],
}
ROWS: dict[str, dict[str, Any]] = {
    "hermes": HERMES, "glaive": GLAIVE, "xlam": XLAM, "apigen": APIGEN_MT, "toolace": TOOLACE,
    "when2call": WHEN2CALL, "nestful": NESTFUL, "openai": OPENAI, "normalised": NORMALISED, "bfcl": BFCL,
}  # fmt: skip


def write(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def read(path: Path, format: str, **options: Any) -> tuple[list[Example], ReadReport]:
    report = ReadReport()
    options.setdefault("split", "all")
    return list(read_file(path, format, report=report, **options)), report


def with_arguments(arguments: Any, *, tool: dict[str, Any] = WEATHER) -> dict[str, Any]:
    call = {"name": tool["name"], "arguments": arguments}
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    return {"messages": messages, "tools": [tool]}


def test_every_format_is_tried_here() -> None:
    assert set(ROWS) == set(READERS)


@pytest.mark.parametrize("format", sorted(ROWS))
def test_a_row_of_each_format_gives_the_same_typed_call(format: str, tmp_path: Path) -> None:
    examples, report = read(write(tmp_path, ROWS[format]), format, for_training=False)

    assert report.dropped == {}
    (example,) = examples
    calls = [call for message in example.messages for call in message.get("tool_calls", ())]
    assert [call["arguments"] for call in calls] == [{"city": "Paris", "days": 3}]
    user = next(index for index, message in enumerate(example.messages) if message["role"] == "user")
    spans = {path: span for (_, _, path), span in example.evidence.items()}
    for path, text in (("city", "Paris"), ("days", "3")):
        span = spans[path]
        assert span is not None
        assert span.message_index == user
        assert QUESTION[span.start : span.end] == text


def test_xlam_types_become_json_schema_with_optional_arguments(tmp_path: Path) -> None:
    (example,), _ = read(write(tmp_path, XLAM), "xlam")

    parameters = example.tools[0]["parameters"]
    assert parameters["required"] == ["city"]
    assert {name: schema["type"] for name, schema in parameters["properties"].items()} == {
        "city": "string",
        "days": "integer",
    }


def test_null_and_undeclared_arguments_become_absent_and_are_counted(tmp_path: Path) -> None:
    row = with_arguments({"city": "Paris", "days": None, "mood": "good"})

    (example,), report = read(write(tmp_path, row), "openai")

    assert example.target["tool_calls"][0]["arguments"] == {"city": "Paris"}
    assert report.repaired == {"null became absent": 1, "undeclared argument removed": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(
            with_arguments({"days": 3}), "arguments break the schema (required)", id="required missing"
        ),
        pytest.param(
            with_arguments({"city": "P", "days": "many"}), "arguments break the schema (type)", id="type"
        ),
        pytest.param(with_arguments("{oops"), "arguments is not JSON", id="not JSON"),
        pytest.param(
            {**with_arguments({"city": "P"}), "tools": []},
            "a call names a tool that is not offered",
            id="unknown tool",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "hi"}], "tools": []},
            "no user message before an assistant message",
            id="no reply",
        ),
        pytest.param(
            with_arguments({"city": "$var_1.city$"}),
            "an argument refers to another call's result",
            id="reference",
        ),
    ],
)
def test_a_row_that_cannot_be_made_right_is_dropped_with_its_reason(
    row: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    examples, report = read(write(tmp_path, row), "openai")

    assert examples == []
    assert report.dropped == {reason: 1}


def test_rows_without_calls_are_kept(tmp_path: Path) -> None:
    row = {
        "tools": [json.dumps(WEATHER)],
        "messages": [{"role": "user", "content": "Sing!"}, {"role": "assistant", "content": "I can't."}],
    }

    (example,), _ = read(write(tmp_path, row), "when2call")

    assert example.target == {"role": "assistant", "content": "I can't."}


def test_all_calls_of_a_turn_are_kept(tmp_path: Path) -> None:
    answers = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Paris", "Rome", "Oslo")]

    (example,), _ = read(write(tmp_path, {**XLAM, "answers": json.dumps(answers)}), "xlam")

    assert [call["arguments"]["city"] for call in example.target["tool_calls"]] == ["Paris", "Rome", "Oslo"]


def test_toolace_values_are_read_as_json_and_python(tmp_path: Path) -> None:
    tool = {
        "name": "set",
        "parameters": {
            "type": "dict",
            "properties": {"a": {"type": "boolean"}, "b": {"type": "array"}, "c": {"type": "string"}},
        },
    }
    row = {
        "system": json.dumps([tool]),
        "conversations": [
            {"from": "user", "value": "do"},
            {"from": "assistant", "value": '[set(a=True, b=[1, {"x": "(]"}], c=\'it\\\'s\')]'},
        ],
    }

    (example,), _ = read(write(tmp_path, row), "toolace")

    assert example.target["tool_calls"][0]["arguments"] == {"a": True, "b": [1, {"x": "(]"}], "c": "it's"}


def test_duplicates_bad_lines_and_foreign_rows_are_counted_not_raised(tmp_path: Path) -> None:
    path = write(tmp_path, OPENAI, OPENAI, {"something": "else"})
    path.write_text(path.read_text(encoding="utf8") + "{not json\n", encoding="utf8")

    examples, report = read(path, "openai")

    assert len(examples) == 1
    assert report.read == 4
    assert report.dropped == {
        "duplicate": 1,
        "not a row of format openai (KeyError)": 1,
        "the line is not JSON": 1,
    }


def test_splits_share_no_called_tool(tmp_path: Path) -> None:
    rows = []
    for number in range(200):
        tool = {**WEATHER, "name": f"tool_{number % 50}"}
        rows.append(with_arguments({"city": f"Paris{number}"}, tool=tool))
    path = write(tmp_path, *rows)

    train, _ = read(path, "openai", split="train")
    dev, _ = read(path, "openai", split="dev")

    names = [{example.target["tool_calls"][0]["name"] for example in side} for side in (train, dev)]
    assert len(train) + len(dev) == 200
    assert names[0]
    assert names[1]
    assert not names[0] & names[1]


def test_benchmarks_are_refused_for_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluation"):
        read_file(write(tmp_path, BFCL), "bfcl")

    benchmark = {**NORMALISED, "source": "acebench_visible"}
    examples, report = read(write(tmp_path, benchmark), "normalised")
    assert examples == []
    assert report.dropped == {"a row of a benchmark": 1}


def test_unknown_formats_and_missing_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use one of"):
        read_file(tmp_path, "csv")
    with pytest.raises(ConfigError, match="no data file"):
        read_file(tmp_path / "nowhere.jsonl", "openai")


def test_json_arrays_and_compressed_lines_are_read_too(tmp_path: Path) -> None:
    array = tmp_path / "rows.json"
    array.write_text(json.dumps([OPENAI]), encoding="utf8")
    packed = tmp_path / "rows.jsonl.zst"
    packed.write_bytes(zstandard.ZstdCompressor().compress(json.dumps(OPENAI).encode() + b"\n"))

    assert len(read(array, "openai")[0]) == 1
    assert len(read(packed, "openai")[0]) == 1


def test_fresh_names_leave_the_meaning_of_an_example_alone(tmp_path: Path) -> None:
    (example,), _ = read(write(tmp_path, HERMES), "hermes")

    other = renamed(example, Draw(1, 1))

    call, new_call = (item.messages[1]["tool_calls"][0] for item in (example, other))
    assert list(call["arguments"].values()) == list(new_call["arguments"].values())
    assert new_call["name"] == other.tools[0]["name"]
    assert set(new_call["arguments"]) == set(other.tools[0]["parameters"]["properties"])
    assert {path for path, _ in leaves(new_call["arguments"])} == {path for _, _, path in other.evidence}
    assert sorted(filter(None, map(repr, other.evidence.values()))) == sorted(
        map(repr, example.evidence.values())
    )


def public_folder(folder: Path) -> Path:
    rows = [
        {**NORMALISED, "id": str(number), "split": "dev" if number % 5 == 0 else "train"}
        for number in range(20)
    ]
    for name in ("house", "acebench_visible"):
        lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (folder / f"{name}.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
    return folder


def test_public_rows_come_from_their_split_and_never_from_benchmarks(tmp_path: Path) -> None:
    rows = PublicRows(str(public_folder(tmp_path)), "dev")

    ids = {rows.example(1, index, rename_share=0).id for index in range(60)}

    assert ids == {"0", "5", "10", "15"}


def test_a_mixture_resumes_exactly_and_holds_its_shares(tmp_path: Path) -> None:
    recipe = MixtureRecipe(public=str(public_folder(tmp_path)), public_share=0.5)

    whole = list(itertools.islice(mixture(recipe, seed=4), 200))

    assert list(itertools.islice(mixture(recipe, seed=4, start=150), 50)) == whole[150:]
    assert 70 < sum(example.source == "house" for example in whole) < 130


def test_an_empty_folder_of_public_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no \\*.jsonl.zst"):
        next(mixture(MixtureRecipe(public=str(tmp_path), public_share=1), seed=1))


@pytest.mark.parametrize("name", ["glaive_sample", "sealtools", "toolalpaca", "home_assistant_intents"])
def test_shared_files_are_read_without_loss(name: str) -> None:
    _, report = read(shared(f"data/{name}.jsonl.zst"), "normalised")

    assert report.kept > 0
    assert set(report.dropped) <= {"duplicate"}
