"""Prompt formats are data: saved, loaded, and checked when loaded."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent_runtime.errors import ConfigError
from agent_runtime.prompt import FORMAT_FILE, PromptFormat


@pytest.mark.parametrize(
    "format", [PromptFormat.compact(), PromptFormat.smollm3()], ids=lambda each: each.name
)
def test_format_comes_back_from_its_folder(tmp_path: Path, format: PromptFormat) -> None:
    path = format.save(tmp_path)

    assert path == tmp_path / FORMAT_FILE
    assert PromptFormat.for_folder(tmp_path) == format


def test_folder_without_a_format_is_smollm3(tmp_path: Path) -> None:
    assert PromptFormat.for_folder(tmp_path) == PromptFormat.smollm3()


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}', '{"name": "x", "surprise": 1}'])
def test_unusable_format_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FORMAT_FILE).write_text(content)

    with pytest.raises(ConfigError, match=FORMAT_FILE):
        PromptFormat.for_folder(tmp_path)


def test_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="useropen"):
        PromptFormat.model_validate({**PromptFormat.compact().model_dump(), "useropen": ""})


@pytest.mark.parametrize(("field", "value"), [("date_line", "{weekday}"), ("reply_end", "END")])
def test_texts_that_could_not_be_written_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=value.strip("{}")):
        PromptFormat.model_validate({**PromptFormat.compact().model_dump(), field: value})


def test_control_tokens_of_the_texts_are_declared() -> None:
    for format in (PromptFormat.compact(), PromptFormat.smollm3()):
        texts = [value for key, value in format if isinstance(value, str)]
        spelt = {token for text in texts for token in format.control_tokens if token in text}

        assert spelt | {"<tool_call>", "</tool_call>"} == set(format.control_tokens)
        assert not any("<|" in _without(text, format.control_tokens) for text in texts)


def test_date_is_spelt_in_english_whatever_the_locale() -> None:
    day = datetime.date(2026, 3, 5)

    assert PromptFormat.smollm3().date_text(day) == "Today Date: 05 March 2026\n"
    assert PromptFormat.compact().date_text(day) == "Today is 2026-03-05.\n"
    assert PromptFormat.compact().date_text(None) == ""


def _without(text: str, tokens: tuple[str, ...]) -> str:
    for token in tokens:
        text = text.replace(token, "")
    return text
