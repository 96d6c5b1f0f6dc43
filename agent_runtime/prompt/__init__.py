"""From a conversation to tokens, and from what the model writes back to words and calls.

Torch-free. A tokenizer is handed in; nothing here loads one.
"""

from __future__ import annotations

from .encode import TextEncoder, check_tokenizer, encode_call, text_encoder
from .format import FORMAT_FILE, PromptFormat
from .listing import OfferedTool, signature_lines
from .render import MessageSpan, Prompt, PromptPiece, TokenSource, render_prompt

__all__ = [
    "FORMAT_FILE",
    "MessageSpan",
    "OfferedTool",
    "Prompt",
    "PromptFormat",
    "PromptPiece",
    "TextEncoder",
    "TokenSource",
    "check_tokenizer",
    "encode_call",
    "render_prompt",
    "signature_lines",
    "text_encoder",
]
