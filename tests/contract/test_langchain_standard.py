"""LangChain's own suites for chat models, whole and offline, on the model that ships.

They prove that everything is joined up; what the answers are worth is tests/unit/test_langchain_semantics.py.
Nothing is marked as expected to fail. What is skipped: images, audio, PDFs (this model reads text) and
`test_serdes`, which admits only classes that are listed in langchain-core (our round trip is tested in
tests/unit/test_langchain_chat_model.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_socket import disable_socket, enable_socket

from agent_runtime import embedded_model_folder
from integrations.langchain import ChatSmolLM3

# What streams is timed only with recorded HTTP, and there is none: that test just streams.
pytestmark = pytest.mark.filterwarnings("ignore:Benchmark fixture was not used at all")

LONG = "Please tell me, in a few words of your own, how one makes good tea in the morning. " * 4

Detail = Literal[
    "audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"
]
Way = Literal["invoke", "stream"]


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Whoever opens a connection fails; event loops wake themselves through a unix socket."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


class TestChatSmolLM3Unit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatSmolLM3

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        folder = str(embedded_model_folder())
        return {"SMOLCALL_MODEL": folder}, {}, {"model": folder}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return str(embedded_model_folder())


class TestChatSmolLM3Integration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatSmolLM3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"deployment": {"device": "cpu", "max_seq_len": 2048}}

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return str(embedded_model_folder())

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Way, list[Detail]]:
        details: list[Detail] = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        thinking = ChatSmolLM3(**self.chat_model_params, max_tokens=64, think=True, think_budget_tokens=8)
        message = _told(thinking, "How many days has a week?", stream=stream)
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_token_details"]["reasoning"] > 0
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = ChatSmolLM3(**self.chat_model_params, max_tokens=16)
        model.invoke(LONG)
        message = _told(model, LONG, stream=stream)
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message


def _told(model: ChatSmolLM3, text: str, *, stream: bool) -> AIMessage:
    if not stream:
        return model.invoke(text)
    whole: AIMessageChunk | None = None
    for chunk in model.stream(text):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole
