"""`ChatSmolLM3`: a local model as a chat model of LangChain, with tools, structured output and streaming.

What a call asks for is read in asks.py, the turn is made in turns.py; blocks.py and protocol.py write what
LangChain hands on.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import LC_ID_PREFIX, AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils import from_env
from langchain_protocol.protocol import MessagesData
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from agent_runtime import AgentRuntime, DeploymentConfig, embedded_model_folder

from .asks import SETTINGS, Ask, read_ask, read_tool_choice, tool_dict
from .blocking import iterate_blocking, run_blocking
from .blocks import PROVIDER, ChunkWriter, whole_message
from .messages import read_conversation
from .protocol import ProtocolWriter
from .runtimes import RuntimeKey, canonical_model, shared_runtime
from .structured import Method, structured_runnable
from .turns import Made, TurnPiece, turn_pieces

EMBEDDED_MODEL = "smolcall-embedded"
"""What the model that ships in the package is called in traces and metadata."""


class ChatSmolLM3(BaseChatModel):
    """A chat model that runs in this process: by default the small one that ships in the package.

    Every tool call it makes is valid for the tool's schema, and says for every argument how sure it is and
    where in the conversation the value was read (`argument_report(message)`). Weights are read by the first
    call and shared by all instances of the same model and deployment. A cancelled call stops computing.

    Keywords of a call (`invoke(..., temperature=0.5, model="folder")`, or `bind`) win over the fields.

    Raises:
        ValidationError: a field that does not exist, or a value of a wrong type.
        ConfigError: a value that cannot be, or two that contradict each other.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)

    model: str | None = Field(default_factory=from_env("SMOLCALL_MODEL", default=None))
    """A model folder or an id on the Hub; None is the embedded model. `SMOLCALL_MODEL` when left out."""

    heads: str | None = Field(default_factory=from_env("SMOLCALL_HEADS", default=None))
    """A head bundle, as for `AgentRuntime.load`. `SMOLCALL_HEADS` when left out."""

    revision: str | None = None
    """Branch, tag or commit on the Hub."""

    adapter: str | None = None
    """A LoRA adapter put on the model: a folder or an id on the Hub."""

    local_files_only: bool = False
    """Never ask the Hub."""

    deployment: DeploymentConfig | None = None
    """How the model runs: a `DeploymentConfig`, its fields as a dict, or the path of its YAML file."""

    runtime: AgentRuntime | None = Field(default=None, exclude=True, repr=False)
    """A runtime of your own (also a scripted one, in tests) instead of a shared one; `model` is then only
    its name. It is not saved and not closed."""

    temperature: float | None = None
    """Randomness of words and values; 0 always takes the most probable token. None: the deployment's."""

    top_p: float | None = None
    """Sample among the most probable tokens that together hold this share."""

    seed: int | None = None
    """Where sampling starts."""

    max_tokens: int | None = None
    """Tokens a reply may have."""

    stop: list[str] | None = None
    """Texts that end the reply where they appear, unless a call says otherwise."""

    timeout: float | None = None
    """Seconds a call may take, waiting included; then it raises `DeadlineError`."""

    max_retries: int = Field(default=2, ge=0)
    """How often a call that found the engine's queue full is tried again."""

    streaming: bool = False
    """Whether `invoke` streams inside, so that callbacks see every token."""

    think: bool | None = None
    """Whether the model thinks before it answers."""

    think_budget_tokens: int | None = None
    """Tokens a thought may have."""

    call_bias: float | None = None
    """Added to the log-odds of calling a tool."""

    abstain_below: float | None = None
    """A call of lower confidence is not made, unless `tool_choice` asks for one."""

    max_parallel_calls: int | None = None
    """Calls one reply may make."""

    date: str | None = None
    """The date told to the model: `today`, or an ISO date."""

    logprobs: bool | None = None
    """Whether the reply's tokens come with log-probabilities, in `response_metadata["logprobs"]`."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many alternatives come with each token; sets `logprobs`."""

    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    """Taken so that programs can switch models; nothing here needs or sends a key."""

    @field_validator("model", "heads", "adapter", mode="before")
    @classmethod
    def _read_path(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("stop", mode="before")
    @classmethod
    def _read_stop(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("deployment", mode="before")
    @classmethod
    def _read_deployment(cls, value: Any) -> Any:
        if isinstance(value, (str, Path)):
            return DeploymentConfig.from_yaml(value)
        return DeploymentConfig(**value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        """Refuse now what every call would refuse."""
        settings = {name: value for name in SETTINGS if (value := getattr(self, name)) is not None}
        if settings:
            DeploymentConfig(**{**self._deployment.model_dump(), **settings})
        return self

    # What it is.

    @property
    def model_name(self) -> str:
        """What the model is called: the folder or id as it was given."""
        return self.model or EMBEDDED_MODEL

    @property
    def _llm_type(self) -> str:
        return PROVIDER

    @property
    def _identifying_params(self) -> dict[str, Any]:
        params = self.model_dump(mode="json", exclude_defaults=True)
        return {**params, "model": self.model_name, "deployment": self._deployment.model_dump(mode="json")}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        wanted = {**self._defaults(), **{name: value for name, value in kwargs.items() if value is not None}}
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_type="chat",
            ls_model_name=str(kwargs.get("model") or self.model_name),
            ls_temperature=wanted.get("temperature", self._deployment.temperature),
            ls_max_tokens=wanted.get("max_tokens", self._deployment.max_tokens),
        )
        stop = stop or self.stop
        if stop:
            params["ls_stop"] = stop
        return params

    def _resolve_model_profile(self) -> ModelProfile:
        limit = self._deployment.max_seq_len
        positions = _positions(canonical_model(self.model))
        return ModelProfile(
            name=self.model_name,
            max_input_tokens=limit if positions is None else min(limit, positions),
            max_output_tokens=self.max_tokens or self._deployment.max_tokens,
            text_inputs=True,
            text_outputs=True,
            image_inputs=False,
            image_url_inputs=False,
            image_tool_message=False,
            audio_inputs=False,
            video_inputs=False,
            pdf_inputs=False,
            pdf_tool_message=False,
            image_outputs=False,
            audio_outputs=False,
            video_outputs=False,
            reasoning_output=True,
            tool_calling=True,
            tool_choice=True,
            tool_call_streaming=True,
            structured_output=True,
        )

    @property
    def _deployment(self) -> DeploymentConfig:
        if self.runtime is not None:
            return self.runtime.deployment
        return self.deployment or _DEFAULT_DEPLOYMENT

    # Saving.

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `langchain_core.load` finds the class."""
        return ["integrations", "langchain"]

    def to_json(self) -> Any:
        """What `dumpd` saves.

        Load it with `load(..., allowed_objects=[ChatSmolLM3], valid_namespaces=["integrations"])`.
        `is_lc_serializable` stays false: it promises that `load` works with its own defaults, and these
        admit only classes that are listed in LangChain. A model on a runtime of your own cannot be saved.
        """
        if self.runtime is not None:
            return self.to_json_not_implemented()
        kwargs = self.model_dump(mode="json", exclude_defaults=True)
        return {"lc": 1, "type": "constructor", "id": self.lc_id(), "kwargs": kwargs, "name": self.get_name()}

    # Making turns.

    def _runtime_for(self, model: str | Path | None) -> tuple[AgentRuntime, str]:
        """The runtime that makes a turn, and what its model is called."""
        name = self.model_name if model is None else str(model)
        if name == self.model_name and self.runtime is not None:
            return self.runtime, name
        is_own = name == self.model_name
        key = RuntimeKey(
            model=canonical_model(None if name == EMBEDDED_MODEL else name),
            # These were made for the model of the field; another one is run as it is.
            heads=self.heads if is_own else None,
            revision=self.revision if is_own else None,
            adapter=self.adapter if is_own else None,
            local_files_only=self.local_files_only,
            deployment=self._deployment,
        )
        return shared_runtime(key), name

    def _defaults(self) -> dict[str, Any]:
        names = (*SETTINGS, "stop", "timeout", "logprobs", "top_logprobs")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _ask(self, messages: Sequence[BaseMessage], stop: list[str] | None, said: Mapping[str, Any]) -> Ask:
        # Calls that may be dropped for doubt are not streamed while they are written: the ask has to know.
        defaults = {"abstain_below": self._deployment.abstain_below, **self._defaults()}
        return read_ask(messages, stop=stop, defaults=defaults, said=said)

    def _pieces(self, ask: Ask, runtime: AgentRuntime) -> AsyncGenerator[TurnPiece, None]:
        return turn_pieces(runtime, ask, max_retries=self.max_retries)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        runtime, name = self._runtime_for(kwargs.get("model"))
        ask = self._ask(messages, stop, kwargs)
        async with aclosing(self._pieces(ask, runtime)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Made):
                    message = whole_message(piece, ask, name)
                    return ChatResult(generations=[ChatGeneration(message=message)])
        raise AssertionError("a turn ends or raises")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run_blocking(lambda: self._agenerate(messages, stop, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._chunks(messages, stop, kwargs)) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in iterate_blocking(lambda: self._chunks(messages, stop, kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _chunks(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, said: Mapping[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        runtime, name = self._runtime_for(said.get("model"))
        ask = self._ask(messages, stop, said)
        writer = ChunkWriter(ask, name)
        async with aclosing(self._pieces(ask, runtime)) as pieces:
            async for piece in pieces:
                for chunk in writer.write(piece):
                    yield ChatGenerationChunk(message=chunk)

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        async with aclosing(self._protocol_events(messages, stop, kwargs, run_manager)) as events:
            async for event in events:
                yield event

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        yield from iterate_blocking(lambda: self._protocol_events(messages, stop, kwargs, run_manager))

    async def _protocol_events(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        said: Mapping[str, Any],
        run_manager: BaseRunManager | None,
    ) -> AsyncGenerator[MessagesData, None]:
        runtime, name = self._runtime_for(said.get("model"))
        ask = self._ask(messages, stop, said)
        writer = ProtocolWriter(ask, name)
        for event in writer.begin("" if run_manager is None else f"{LC_ID_PREFIX}-{run_manager.run_id}"):
            yield event
        async with aclosing(self._pieces(ask, runtime)) as pieces:
            async for piece in pieces:
                for event in writer.write(piece):
                    yield event

    # Binding.

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools it may call.

        Args:
            tools: LangChain tools, functions, pydantic models, TypedDicts, or tool dicts of OpenAI, Anthropic
                or MCP. What only the tool's runtime fills (injected arguments) is not shown to the model.
            tool_choice: `auto`, `any` (or `required`, or True), `none`, a tool's name, or a dict.
            strict: calls are always valid for their schema, with or without.
            parallel_tool_calls: False allows one call in a reply.
            response_format: schema (or OpenAI's dict) of the answer the model gives when it calls no tool.
            **kwargs: keywords of a call, bound as well.

        Raises:
            SchemaError: a tool that cannot be honoured; names tool, path and keyword.
            ConfigError: the tools cannot satisfy `tool_choice`.
        """
        described = [tool_dict(offered, strict=strict) for offered in tools]
        read_tool_choice(tool_choice, [tool["function"]["name"] for tool in described])
        bound = {
            "tools": described,
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format,
        }
        return self.bind(**{name: value for name, value in bound.items() if value is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """This model answering with an object of a schema.

        Args:
            schema: a pydantic model, TypedDict, JSON Schema or tool dict. A model's class gives its
                instances, all else dicts.
            method: how the object is asked for: as the answer (`json_schema`), as the call of a tool
                (`function_calling`), or as JSON (`json_mode`; the schema is kept here too).
            include_raw: whether to return `{"raw": message, "parsed": object, "parsing_error": error}`.
            strict: the object is always valid for the schema, with or without.
            **kwargs: keywords of a call, bound as well.

        Raises:
            SchemaError: the schema cannot be honoured.
            ValueError: an unknown method.
        """
        return structured_runnable(
            self, schema, method=method, include_raw=include_raw, strict=strict, keywords=kwargs
        )

    # Counting.

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens the model reads for a user's text, without those around it. Reads the tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        if not text:
            return []
        runtime, _ = self._runtime_for(None)
        prompt = run_blocking(lambda: runtime.prompt(text))
        first, last = prompt.message_spans[0].tokens
        return list(prompt.ids[first:last])

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """The tokens the model reads for a conversation, tools and all that stands around included."""
        runtime, _ = self._runtime_for(None)
        asked = read_conversation(messages)
        described = [tool_dict(offered) for offered in tools or ()]
        prompt = run_blocking(lambda: runtime.prompt(asked.messages, tools=described))
        return len(prompt.ids)

    async def warm_up(self) -> Self:
        """Read the weights now, so that the first call is as fast as any."""
        await self._runtime_for(None)[0].warm_up()
        return self


_DEFAULT_DEPLOYMENT = DeploymentConfig()


@lru_cache(maxsize=64)
def _positions(model: str | None) -> int | None:
    """The positions a model folder was made for, where that can be read without asking anybody."""
    config = (embedded_model_folder() if model is None else Path(model)) / "config.json"
    if not config.is_file():
        return None
    found = json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
    return found if isinstance(found, int) else None
