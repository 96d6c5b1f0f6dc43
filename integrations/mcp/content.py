"""What MCP calls return, as values and text a model reads.

Our own results as MCP content stand in server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)


class McpToolError(ValueError):
    """The server ran the tool and reported a failure; trying the same call again would fail alike."""


def result_value(result: CallToolResult, output_schema: Mapping[str, Any] | None) -> Any:
    """The value of a call: structured content where there is some, else its text.

    Servers wrap results that are no object as `{"result": ...}`, and say so by a schema with that one
    property: it is taken out again.

    Raises:
        McpToolError: the server says that the call failed.
    """
    if result.is_error:
        raise McpToolError(content_text(result) or "the server gave no reason")
    structured = result.structured_content
    if structured is None:
        return content_text(result)
    if isinstance(structured, Mapping) and set(structured) == {"result"}:
        properties = (output_schema or {}).get("properties", {})
        if set(properties) == {"result"}:
            return structured["result"]
    return structured


def content_text(result: CallToolResult) -> str:
    """All blocks as text. What is no text is named: a model should know of what it cannot see."""
    return "\n".join(_block_text(block) for block in result.content)


def _block_text(block: Any) -> str:
    match block:
        case TextContent(text=text):
            return text
        case ImageContent() | AudioContent():
            return f"[{block.type}, {block.mime_type}, {len(block.data) * 3 // 4} bytes, not shown]"
        case ResourceLink():
            return f"[{block.title or block.name}]({block.uri})"
        case EmbeddedResource(resource=BlobResourceContents() as blob):
            kind = blob.mime_type or "binary"
            return f"[{blob.uri}, {kind}, {len(blob.blob) * 3 // 4} bytes, not shown]"
        case EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
    return f"[{getattr(block, 'type', type(block).__name__)}, not shown]"
