"""How conversations are laid out for one backbone: data only, saved beside its weights.

Which text goes where is render.py; how text becomes tokens is encode.py.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import ConfigError

FORMAT_FILE = "prompt_format.json"

# strftime's %B follows the machine's locale; a prompt must not.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class PromptFormat(BaseModel):
    """The layout of a prompt. Control tokens are recognised in these texts, and only in these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What the format is called in log lines and errors."""

    control_tokens: tuple[str, ...]
    """Texts that are one token each, and that nobody's text can ever become."""

    begin: str = ""
    """Stands before everything else."""

    system_open: str
    """Begins the system block."""

    date_line: str = ""
    """Line for today's date: `{iso}`, or `{day}`, `{month}` (its English name) and `{year}`."""

    think_line: str = ""
    """Follows the date line when the backbone shall think."""

    no_think_line: str = ""
    """Follows the date line when it shall not."""

    default_system_think: str = ""
    """System message of a conversation that has none, when thinking."""

    default_system_no_think: str = ""
    """System message of a conversation that has none, when not thinking."""

    system_message_close: str = "\n"
    """Follows the system message."""

    think_flag: str = ""
    """Text of a system message that asks for thinking and is taken out of it; empty: there is none."""

    no_think_flag: str = ""
    """Text of a system message that turns thinking off; it wins over `think_flag`."""

    tool_listing: Literal["json", "signatures"]
    """How a tool is described: its JSON Schema on one line, or compact signature lines."""

    description_limit: int = Field(default=160, ge=16)
    """Characters of a description in a signature listing; longer ones are cut at a sentence or a word."""

    tools_open: str
    """Stands before the tools."""

    tool_open: str = ""
    """Begins each tool and is tokenised with it: line breaks that merge with what follows belong here."""

    tool_close: str = "\n"
    """Ends each tool and is tokenised with it."""

    tools_close: str = ""
    """Stands after the tools."""

    system_close: str
    """Ends a system block without tools."""

    system_close_after_tools: str
    """Ends a system block with tools."""

    is_system_optional: bool = False
    """Whether a system block that says nothing is left out."""

    user_open: str = "<|im_start|>user\n"
    assistant_open: str = "<|im_start|>assistant\n"
    message_close: str = "<|im_end|>\n"

    later_system_open: str = "<|im_start|>system\n"
    """Begins a system message that is not the first message."""

    result_open: str
    """Begins the first of consecutive tool results."""

    result_joint: str
    """Stands between consecutive tool results."""

    result_close: str
    """Ends the last of consecutive tool results."""

    calls_joint: str = "\n"
    """Stands between words and the first call, and between calls."""

    no_think_reply: str = ""
    """Begins every reply given without thinking, in the history and where the backbone goes on."""

    reasoning_open: str = "<think>\n"
    reasoning_close: str = "\n</think>\n"

    reply_end: str = "<|im_end|>"
    """The control token with which the backbone ends its reply."""

    @field_validator("date_line")
    @classmethod
    def _names_known_parts(cls, line: str) -> str:
        try:
            line.format(iso="", day="", month="", year="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"may hold {{iso}}, {{day}}, {{month}} and {{year}}, but holds {error}"
            ) from error
        return line

    @model_validator(mode="after")
    def _ends_with_a_control_token(self) -> PromptFormat:
        if self.reply_end not in self.control_tokens:
            raise ValueError(f"reply_end {self.reply_end!r} is not among control_tokens")
        return self

    @classmethod
    def smollm3(cls) -> PromptFormat:
        """The layout SmolLM3 was trained on, with tool results, past calls and thinking in their places."""
        return _SMOLLM3

    @classmethod
    def compact(cls) -> PromptFormat:
        """The layout of the embedded backbone: signatures instead of JSON Schema, no header."""
        return _COMPACT

    @classmethod
    def for_folder(cls, folder: str | Path) -> PromptFormat:
        """The format a model folder was trained with; SmolLM3's where the folder does not say.

        Raises:
            ConfigError: the folder's `prompt_format.json` cannot be read.
        """
        path = Path(folder) / FORMAT_FILE
        if not path.is_file():
            return cls.smollm3()
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise ConfigError(f"{path} is not a prompt format: {error}") from error

    def save(self, folder: str | Path) -> Path:
        """Write `prompt_format.json` into a model folder."""
        path = Path(folder) / FORMAT_FILE
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path

    def date_text(self, date: datetime.date | None) -> str:
        """The date line, or nothing: without a date the same conversation reads the same every day."""
        if date is None:
            return ""
        return self.date_line.format(
            iso=f"{date:%Y-%m-%d}", day=f"{date.day:02d}", month=_MONTHS[date.month - 1], year=date.year
        )


def compact_chat_template() -> str:
    """The compact format as a Jinja template, for the `chat_template` of a model folder.

    It serves those who call `tokenizer.apply_chat_template`; the runtime itself never reads it.
    """
    return (Path(__file__).parent / "compact_template.jinja").read_text(encoding="utf-8")


_CONTROL_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
)

_COMPACT = PromptFormat(
    name="compact",
    control_tokens=("<|begin_of_text|>", *_CONTROL_TOKENS),
    begin="<|begin_of_text|>",
    system_open="<|im_start|>system\n",
    date_line="Today is {iso}.\n",
    tool_listing="signatures",
    # A tool's heading is cut as the embedded tokenizer cuts it in running text: "\n# " is one token.
    tools_open="Tools:",
    tool_open="\n",
    tool_close="",
    tools_close="\n",
    system_close="<|im_end|>\n",
    system_close_after_tools="<|im_end|>\n",
    is_system_optional=True,
    result_open="<|im_start|>tool\n",
    result_joint="<|im_end|>\n<|im_start|>tool\n",
    result_close="<|im_end|>\n",
)

_SMOLLM3 = PromptFormat(
    name="smollm3",
    control_tokens=(*_CONTROL_TOKENS, "<tool_response>", "</tool_response>"),
    system_open="<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\n",
    date_line="Today Date: {day} {month} {year}\n",
    think_line="Reasoning Mode: /think\n\n## Custom Instructions\n\n",
    no_think_line="Reasoning Mode: /no_think\n\n## Custom Instructions\n\n",
    default_system_think=(
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face. Your role as an assistant "
        "involves thoroughly exploring questions through a systematic thinking process before providing the "
        "final precise and accurate solutions. This requires engaging in a comprehensive cycle of analysis, "
        "summarizing, exploration, reassessment, reflection, backtracking, and iteration to develop "
        "well-considered thinking process. Please structure your response into two main sections: Thought "
        "and Solution using the specified format: <think> Thought section </think> Solution section. In the "
        "Thought section, detail your reasoning process in steps. Each step should include detailed "
        "considerations such as analysing questions, summarizing relevant findings, brainstorming new ideas, "
        "verifying the accuracy of the current steps, refining any errors, and revisiting previous steps. In "
        "the Solution section, based on various attempts, explorations, and reflections from the Thought "
        "section, systematically present the final solution that you deem correct. The Solution section "
        "should be logical, accurate, and concise and detail necessary steps needed to reach the conclusion."
    ),
    default_system_no_think="You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
    system_message_close="\n\n",
    think_flag="/think",
    no_think_flag="/no_think",
    tool_listing="json",
    tools_open=(
        "### Tools\n\nYou may call one or more functions to assist with the user query.\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n\n<tools>\n"
    ),
    tools_close=(
        "</tools>\n\nFor each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n\n'
    ),
    # As published, a system block without tools is not closed: that is what the backbone saw in training.
    system_close="",
    system_close_after_tools="<|im_end|>\n",
    # The published template shows results as plain user words; its vocabulary has tags for them.
    result_open="<|im_start|>user\n<tool_response>\n",
    result_joint="\n</tool_response>\n<tool_response>\n",
    result_close="\n</tool_response><|im_end|>\n",
    no_think_reply="<think>\n\n</think>\n",
)
