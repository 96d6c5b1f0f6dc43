"""The whole chain in small: tokenizer, backbone, model folder, evaluation, reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from agent_runtime import AgentRuntime
from training.__main__ import main


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    assert main(["embedded", "--preset", "smoke", "--output", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_chain_leaves_a_model_folder_that_transformers_loads(output: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(output / "smoke-model")
    tokenizer = AutoTokenizer.from_pretrained(output / "smoke-model")
    assert model.config.model_type == "smollm3"
    assert model.config.vocab_size == len(tokenizer)
    assert "## Figures\n\n| data |" in (output / "smoke-model" / "README.md").read_text()


@pytest.mark.slow
async def test_model_of_the_chain_answers_with_valid_calls(output: Path) -> None:
    tool = {
        "name": "get_weather",
        "description": "Weather for a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    }
    async with AgentRuntime.load(output / "smoke-model") as runtime:
        turn = await runtime.respond("Weather in Paris?", tools=[tool], tool_choice="required")
    assert turn.tool_calls
    assert all(set(call.arguments) == {"city"} for call in turn.tool_calls)


@pytest.mark.slow
def test_chain_leaves_reports(output: Path) -> None:
    assert "held-out" in (output / "smoke" / "report.md").read_text()
    assert (output / "smoke" / "loss.png").stat().st_size > 5000
    outcomes = (output / "smoke" / "evaluation" / "outcomes.jsonl").read_text().splitlines()
    assert all(json.loads(line)["is_valid"] for line in outcomes)


def test_misspelt_key_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbone", "--preset", "smoke", "--set", "sheed=3"]) == 2
    assert "sheed" in capsys.readouterr().err
