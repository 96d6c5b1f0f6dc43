"""From a conversation to tokens, and from what the model writes back to words and calls.

Torch-free. A tokenizer is handed in; nothing here loads one.
"""

from __future__ import annotations

from .encode import TextEncoder, check_tokenizer, encode_call, text_encoder
from .format import FORMAT_FILE, PromptFormat, compact_chat_template
from .history import FittedHistory, fit_history
from .listing import OfferedTool, signature_lines
from .loose_json import validate_json
from .page import MessageSpan, Prompt, PromptPiece, TokenSource
from .parse import ParsedCall, ParsedReply, ReplyProblem, extract_tool_call, parse_reply
from .render import render_prompt

__all__ = [
    "FORMAT_FILE",
    "FittedHistory",
    "MessageSpan",
    "OfferedTool",
    "ParsedCall",
    "ParsedReply",
    "Prompt",
    "PromptFormat",
    "PromptPiece",
    "ReplyProblem",
    "TextEncoder",
    "TokenSource",
    "check_tokenizer",
    "compact_chat_template",
    "encode_call",
    "extract_tool_call",
    "fit_history",
    "parse_reply",
    "render_prompt",
    "signature_lines",
    "text_encoder",
    "validate_json",
]
