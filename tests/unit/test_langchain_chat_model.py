"""`ChatSmolLM3` as LangChain uses it: fields, keywords, binding, saving, tracing, counting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import ContextOverflowError
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableSequence
from langchain_core.tools import InjectedToolArg, tool
from pydantic import BaseModel, ValidationError

from agent_runtime import (
    AgentRuntime,
    ConfigError,
    DeploymentConfig,
    OverloadedError,
    Plan,
    PromptTooLongError,
    SchemaError,
    TokenLogprob,
    Turn,
    Usage,
    embedded_model_folder,
)
from agent_runtime.testing import Reply, ScriptedEngine, call, calls
from integrations.langchain import ChatPromptTooLongError, ChatSmolLM3, argument_report
from integrations.langchain.runtimes import canonical_model

pytestmark = pytest.mark.filterwarnings("ignore:The function `load` is in beta")


def get_weather(city: str, days: int = 1) -> dict[str, Any]:
    """Current weather for a city."""
    return {"city": city}


def scripted(*replies: Reply, **fields: Any) -> tuple[ChatSmolLM3, ScriptedEngine]:
    engine = ScriptedEngine(*replies)
    return ChatSmolLM3(runtime=AgentRuntime(engine), **fields), engine


OSLO = calls(call("get_weather", {"city": "Oslo", "days": 5}, confidence=0.75))


# Making one.


def test_making_one_reads_no_weights() -> None:
    script = (
        "import sys; from integrations.langchain import ChatSmolLM3; ChatSmolLM3(); "
        "print('torch' in sys.modules)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == "False"


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="temprature"):
        ChatSmolLM3(temprature=0.5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"temperature": -1.0}, "temperature", id="range"),
        pytest.param(
            {"think": True, "max_tokens": 9}, "think_budget_tokens=512 contradicts", id="contradiction"
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_it_is_made(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ChatSmolLM3(**fields)


def test_without_the_extra_the_import_says_what_to_install() -> None:
    script = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'langgraph' else find(name, *a)\n"
        "import integrations.langchain"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert ran.returncode != 0
    assert "needs langgraph" in ran.stderr
    assert "pip install 'smolcall[langchain]'" in ran.stderr


def test_instances_of_one_deployment_share_their_runtime() -> None:
    one, other = ChatSmolLM3(), ChatSmolLM3(temperature=0.5, max_tokens=7)
    different = ChatSmolLM3(deployment=DeploymentConfig(max_batch=2))
    folder = ChatSmolLM3(model=str(embedded_model_folder()))

    assert one._runtime_for(None)[0] is other._runtime_for(None)[0]
    assert one._runtime_for(None)[0] is folder._runtime_for(None)[0]
    assert one._runtime_for(None)[0] is not different._runtime_for(None)[0]
    assert folder._runtime_for(None)[1] == str(embedded_model_folder())


def test_a_deployment_is_read_from_a_dict_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("max_batch: 3\n")

    assert ChatSmolLM3(deployment={"max_batch": 3}).deployment == DeploymentConfig(max_batch=3)
    assert ChatSmolLM3(deployment=str(path)).deployment == DeploymentConfig(max_batch=3)
    with pytest.raises(ConfigError, match="max_batsh"):
        ChatSmolLM3(deployment={"max_batsh": 3})


def test_a_hub_id_is_its_own_name() -> None:
    assert canonical_model("HuggingFaceTB/SmolLM3-3B") == "HuggingFaceTB/SmolLM3-3B"


def test_the_profile_says_what_it_can_do() -> None:
    profile = ChatSmolLM3(max_tokens=99, deployment=DeploymentConfig(max_seq_len=512, max_tokens=64)).profile

    assert profile is not None
    assert profile["max_output_tokens"] == 99
    assert profile["max_input_tokens"] == 512
    assert profile["tool_calling"] and profile["tool_choice"] and profile["structured_output"]
    assert not profile["image_inputs"]


# Calls of it.


def test_fields_and_keywords_reach_the_turn_and_keywords_win() -> None:
    model, engine = scripted("Hi", temperature=0.5, max_tokens=50, stop=["\n"], seed=3, timeout=9.0)

    model.invoke("Hello", max_tokens=60, think=True, think_budget_tokens=8)

    (order,) = engine.orders
    deployment = order.deployment
    assert (deployment.temperature, deployment.max_tokens, deployment.seed) == (0.5, 60, 3)
    assert (deployment.think, deployment.request_deadline_s, order.stop) == (True, 9.0, ("\n",))


def test_stop_of_a_call_wins_over_the_models() -> None:
    model, engine = scripted("Hi", stop=["a"])

    model.invoke("Hello", stop=["b"])
    model.invoke("Hello", stop="END")

    assert [order.stop for order in engine.orders] == [("b",), ("END",)]


def test_an_unknown_keyword_is_refused_and_the_right_one_named() -> None:
    model, _ = scripted("Hi")

    with pytest.raises(ConfigError, match="'max_completion_tokens'.*'max_tokens'"):
        model.invoke("Hello", max_completion_tokens=5)
    with pytest.raises(ConfigError, match="'frequency_penalty'"):
        model.invoke("Hello", frequency_penalty=1.0)


def test_usage_and_metadata_are_langchains() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=6, reasoning_tokens=2, forwards=3)
    model, _ = scripted(
        Turn(content="Hi", reasoning="Hm.", usage=usage, plan=Plan(kind="chat", call_probability=0.25))
    )

    message = model.invoke("Hello")

    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 4,
        "total_tokens": 14,
        "input_token_details": {"cache_read": 6},
        "output_token_details": {"reasoning": 2},
    }
    metadata = message.response_metadata
    assert (metadata["model_name"], metadata["model_provider"]) == ("smolcall-embedded", "smolcall")
    assert (metadata["finish_reason"], metadata["call_probability"]) == ("stop", 0.25)
    assert message.content_blocks == [
        {"type": "reasoning", "reasoning": "Hm."},
        {"type": "text", "text": "Hi"},
    ]


def test_log_probabilities_come_in_openais_shape() -> None:
    model, engine = scripted(
        Turn(content="Hi", logprobs=(TokenLogprob(token="Hi", logprob=-0.1, top=(("Ho", -2.0),)),))
    )

    message = model.invoke("Hello", logprobs=True, top_logprobs=1)

    assert engine.orders[0].top_logprobs == 1
    (token,) = message.response_metadata["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("Hi", -0.1, [72, 105])
    assert token["top_logprobs"] == [{"token": "Ho", "logprob": -2.0, "bytes": [72, 111]}]


def test_the_model_of_a_call_names_the_reply() -> None:
    folder = str(embedded_model_folder())

    message = ChatSmolLM3(max_tokens=4).invoke("Hello", model=folder)

    assert message.response_metadata["model_name"] == folder


async def test_a_repeated_prompt_reports_what_the_cache_spared() -> None:
    model = ChatSmolLM3(max_tokens=4)
    text = "Hello, this is a rather long greeting that you have read before. " * 5

    await model.ainvoke(text)
    again = await model.ainvoke(text)

    assert again.usage_metadata is not None
    assert again.usage_metadata["input_token_details"]["cache_read"] > 0


def test_a_full_queue_is_tried_again() -> None:
    full = OverloadedError(queued=1, retry_after_s=0.0)
    patient, _ = scripted(full, full, "Hi")
    impatient, _ = scripted(full, max_retries=0)

    assert patient.invoke("Hello").content == "Hi"
    with pytest.raises(OverloadedError):
        impatient.invoke("Hello")


def test_a_prompt_that_is_too_long_is_langchains_error_and_ours() -> None:
    model, _ = scripted(PromptTooLongError(prompt_tokens=9, max_tokens=5))

    with pytest.raises(ContextOverflowError) as caught:
        model.invoke("Hello")
    assert isinstance(caught.value, ChatPromptTooLongError) and caught.value.max_tokens == 5


# Tools.


class Trip(BaseModel):
    """A journey."""

    to: str


@tool
def book(city: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Book a hotel."""
    return city


@pytest.mark.parametrize(
    ("offered", "name", "argument"),
    [
        pytest.param(get_weather, "get_weather", "city", id="function"),
        pytest.param(Trip, "Trip", "to", id="pydantic"),
        pytest.param(book, "book", "city", id="langchain"),
        pytest.param(
            {"name": "a", "input_schema": {"properties": {"x": {"type": "string"}}}}, "a", "x", id="anthropic"
        ),
        pytest.param(
            {"title": "b", "type": "object", "properties": {"x": {"type": "string"}}}, "b", "x", id="schema"
        ),
    ],
)
def test_anything_can_be_bound_as_plain_json(offered: Any, name: str, argument: str) -> None:
    model, engine = scripted("Hi")

    bound = model.bind_tools([offered], strict=True)
    bound.invoke("Hello")

    (described,) = bound.kwargs["tools"]
    assert described["function"]["name"] == name
    assert described["function"]["strict"] is True
    assert next(iter(engine.orders[0].tools[0].parameters["properties"])) == argument


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [
        pytest.param(None, "auto", None, id="left out"),
        pytest.param(False, "auto", None, id="False"),
        pytest.param("auto", "auto", None, id="auto"),
        pytest.param("none", "none", None, id="none"),
        pytest.param("any", "required", None, id="any"),
        pytest.param(True, "required", None, id="True"),
        pytest.param("get_weather", "required", "get_weather", id="name"),
        pytest.param({"type": "any"}, "required", None, id="anthropic's any"),
        pytest.param(
            {"type": "function", "function": {"name": "get_weather"}}, "required", "get_weather", id="openai"
        ),
        pytest.param({"type": "tool", "name": "get_weather"}, "required", "get_weather", id="anthropic"),
        pytest.param({"type": "none"}, "none", None, id="anthropic's none"),
    ],
)
def test_every_form_of_tool_choice_is_kept(choice: Any, mode: str, name: str | None) -> None:
    model, engine = scripted("Hi")

    model.bind_tools([get_weather], tool_choice=choice, parallel_tool_calls=False).invoke("Hello")

    (order,) = engine.orders
    assert (order.tool_choice.mode, order.tool_choice.name) == (mode, name)
    assert order.deployment.max_parallel_calls == 1


def test_anthropics_way_to_forbid_parallel_calls_is_kept() -> None:
    model, engine = scripted("Hi")

    choice = {"type": "auto", "disable_parallel_tool_use": True}
    model.bind_tools([get_weather], tool_choice=choice).invoke("Hello")

    assert engine.orders[0].deployment.max_parallel_calls == 1


def test_what_cannot_be_bound_is_refused_when_it_is_bound() -> None:
    model, _ = scripted("Hi")

    with pytest.raises(ConfigError, match="get_rich.*get_weather"):
        model.bind_tools([get_weather], tool_choice="get_rich")
    with pytest.raises(ConfigError, match="without tools"):
        model.bind_tools([], tool_choice="any")
    with pytest.raises(ConfigError, match="is not understood"):
        model.bind_tools([get_weather], tool_choice={"type": "maybe"})
    with pytest.raises(ConfigError, match="found int"):
        model.bind_tools([get_weather], tool_choice=3)
    with pytest.raises(SchemaError, match=r"\$ref"):
        model.bind_tools([{"name": "x", "parameters": {"$ref": "https://example.org/x"}}])


def test_the_report_is_on_the_message_in_both_places() -> None:
    model, _ = scripted(OSLO)

    message = model.bind_tools([get_weather]).invoke("Weather in Oslo for 5 days?")

    (report,) = argument_report(message)
    assert (report.name, report.call_id) == ("get_weather", message.tool_calls[0]["id"])
    assert [argument.is_required for argument in report.arguments.values()] == [True, False]
    assert {argument.confidence for argument in report.arguments.values()} == {0.75}
    (block,) = message.content_blocks
    assert block["type"] == "tool_call"
    assert block["extras"]["arguments"]["city"]["value"] == "Oslo"


def test_the_report_outlives_v1_content_and_the_loss_of_additional_kwargs() -> None:
    model, _ = scripted(OSLO, output_version="v1")
    message = model.bind_tools([get_weather]).invoke("Weather in Oslo for 5 days?")

    bare = AIMessage(content=message.content)

    assert argument_report(bare) == argument_report(message)
    assert argument_report(bare)[0].arguments["city"].value == "Oslo"


def test_a_message_without_calls_has_no_report() -> None:
    assert argument_report(HumanMessage("Hello")) == ()


# Saving and tracing.


def test_a_cached_reply_keeps_its_report() -> None:
    model, engine = scripted(OSLO, cache=InMemoryCache())
    bound = model.bind_tools([get_weather])

    first, second = bound.invoke("Weather in Oslo?"), bound.invoke("Weather in Oslo?")

    assert len(engine.orders) == 1
    assert argument_report(second) == argument_report(first) != ()


def test_a_setting_can_be_left_open_and_set_for_a_call() -> None:
    model, engine = scripted("Hi")
    open_model = model.configurable_fields(temperature=ConfigurableField(id="heat"))

    open_model.with_config(configurable={"heat": 0.25}).invoke("Hello")

    assert engine.orders[0].deployment.temperature == 0.25


def test_a_model_survives_saving() -> None:
    model = ChatSmolLM3(temperature=0.5, stop=["x"], deployment=DeploymentConfig(max_batch=2))

    loaded = load(dumpd(model), allowed_objects=[ChatSmolLM3], valid_namespaces=["integrations"])

    assert isinstance(loaded, ChatSmolLM3)
    assert loaded == model
    assert loaded.asdict() == model.asdict()


def test_a_chain_with_bound_tools_survives_saving() -> None:
    chain = ChatPromptTemplate.from_messages([("user", "{x}")]) | ChatSmolLM3().bind_tools([get_weather])

    loaded = load(
        dumpd(chain),
        allowed_objects=[ChatSmolLM3, RunnableSequence, ChatPromptTemplate, type(chain.last), *_parts(chain)],
        valid_namespaces=["integrations"],
    )

    assert loaded.last.kwargs == chain.last.kwargs
    assert loaded.last.bound == chain.last.bound


def _parts(chain: Any) -> list[type]:
    prompt = chain.first
    return [type(prompt.messages[0]), type(prompt.messages[0].prompt)]


def test_a_key_is_taken_and_never_told() -> None:
    model = ChatSmolLM3(api_key="sesame")

    assert "sesame" not in f"{model!r}{dumpd(model)}{model.asdict()}"


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.ended: list[LLMResult] = []
        self.failed: list[BaseException] = []

    def on_chat_model_start(
        self, serialized: Any, messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self.started.append(kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.ended.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.failed.append(error)


def test_callbacks_hear_the_call_its_parameters_and_its_usage() -> None:
    model, _ = scripted(
        Turn(content="Hi", usage=Usage(prompt_tokens=3, completion_tokens=2)), temperature=0.5
    )
    recorder, usage = Recorder(), UsageMetadataCallbackHandler()

    model.bind_tools([get_weather]).invoke("Hello", {"callbacks": [recorder, usage]})

    (started,) = recorder.started
    assert started["metadata"]["ls_provider"] == "smolcall"
    assert started["metadata"]["ls_model_name"] == "smolcall-embedded"
    assert started["metadata"]["ls_temperature"] == 0.5
    assert started["invocation_params"]["tools"][0]["function"]["name"] == "get_weather"
    assert len(recorder.ended) == 1
    assert usage.usage_metadata["smolcall-embedded"]["total_tokens"] == 5


def test_an_error_reaches_the_callbacks() -> None:
    model, _ = scripted(PromptTooLongError(prompt_tokens=9, max_tokens=5))
    recorder = Recorder()

    with pytest.raises(PromptTooLongError):
        model.invoke("Hello", {"callbacks": [recorder]})
    assert len(recorder.failed) == 1


def test_streaming_inside_invoke_tells_every_token() -> None:
    model, _ = scripted("one two three", streaming=True)
    recorder = Recorder()

    message = model.invoke("Hello", {"callbacks": [recorder]})

    assert message.content == "one two three"
    assert [token for token in recorder.tokens if token] == ["one", " two", " three"]


# Counting.


def test_tokens_are_counted_as_the_model_reads_them() -> None:
    model = ChatSmolLM3()

    few, many = model.get_num_tokens("Hello"), model.get_num_tokens("Hello and good morning to you")
    bare = model.get_num_tokens_from_messages([HumanMessage("Hello")])

    assert 0 < few < many < 30
    assert few < bare < model.get_num_tokens_from_messages([HumanMessage("Hello")], tools=[get_weather])
    assert model.get_num_tokens("") == 0
