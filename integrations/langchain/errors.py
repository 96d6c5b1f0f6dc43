"""Errors of the runtime that LangChain has a name for: each is both, so that either side can catch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import ContextOverflowError

from agent_runtime import PromptTooLongError


class ChatPromptTooLongError(PromptTooLongError, ContextOverflowError):
    """The conversation does not fit; LangChain's middleware reacts to it by summarising or trimming."""


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raise the runtime's errors as LangChain knows them; what it has no name for stays as it is."""
    try:
        yield
    except ChatPromptTooLongError:
        raise
    except PromptTooLongError as error:
        raise ChatPromptTooLongError(
            prompt_tokens=error.prompt_tokens, max_tokens=error.max_tokens
        ) from error
