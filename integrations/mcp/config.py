"""Which MCP servers to connect to, and how: written in Python or read from an `mcpServers` file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent_runtime import ConfigError


class ServerConfig(BaseModel):
    """One server: a program that is started and talked to over its pipes, or an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str | None = None
    """The program to start. Either this or `url`."""

    args: tuple[str, ...] = ()
    """Its arguments."""

    env: Mapping[str, str] = Field(default_factory=dict)
    """Variables for it, besides a few harmless ones such as PATH; it does not see the rest of ours."""

    cwd: Path | None = None
    """The folder it starts in; ours when left out."""

    url: str | None = None
    """The address of a server that speaks streamable HTTP. Either this or `command`."""

    headers: Mapping[str, str] = Field(default_factory=dict)
    """Headers of every request, such as `Authorization`; for `url` only."""

    type: Literal["stdio", "http", "streamable-http"] | None = None
    """How it is talked to, where a file says so; it follows from `command` or `url` anyway."""

    tools: tuple[str, ...] | None = None
    """Use only these of its tools. Fewer tools make a small model choose better. All when left out."""

    prefix: str = ""
    """Put before the names of its tools, so that two servers may offer tools of the same name."""

    timeout_s: float | None = Field(default=None, gt=0)
    """Seconds one call may take; the deployment's `tool_timeout_s` when left out."""

    connect_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds the server has to start and introduce itself."""

    trusts_hints: bool = False
    """Whether to believe the server's word that a tool is read-only or safe to repeat, and to try such a tool
    again after a failure. Turn it on for servers you run yourself."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"expected an address that begins with http:// or https://, found {url!r}")
        return url

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either 'command' (a program to start) or 'url' (streamable HTTP)")
        if self.url is None and self.headers:
            raise ValueError("'headers' go with 'url'; give a program its secrets through 'env'")
        if self.url is not None and (self.args or self.env or self.cwd):
            raise ValueError("'args', 'env' and 'cwd' go with 'command', not with 'url'")
        if self.type is not None and (self.type == "stdio") != (self.url is None):
            raise ValueError(f"type {self.type!r} does not fit {'command' if self.command else 'url'}")
        return self


Server = ServerConfig | str | Sequence[str] | Mapping[str, Any]
"""A server as a caller may write it: its config, an address, a command line as a list, or a dict."""


def as_config(name: str, server: Server) -> ServerConfig:
    """A server as its config.

    Raises:
        ConfigError: it is none; says what is wrong with which server.
    """
    if isinstance(server, ServerConfig):
        return server
    given: Any = server
    if isinstance(server, str):
        given = {"url": server}
    elif not isinstance(server, Mapping):
        command = [str(part) for part in server]
        given = {"command": command[0] if command else None, "args": tuple(command[1:])}
    try:
        return ServerConfig.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}".removeprefix(": ")
            for item in error.errors(include_url=False)
        )
        raise ConfigError(f"MCP server {name!r}: {problems}") from error


def read_servers(path: str | Path) -> dict[str, ServerConfig]:
    """The servers of a JSON file in the form desktop assistants and editors use.

    `{"mcpServers": {"files": {"command": "npx", "args": [...]}, "search": {"url": "https://..."}}}`;
    `servers` instead of `mcpServers` is understood too, and an entry with `"disabled": true` is left out.

    Raises:
        ConfigError: the file cannot be read or says something that cannot be honoured.
    """
    path = Path(path)
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    servers = read.get("mcpServers", read.get("servers")) if isinstance(read, dict) else None
    if not isinstance(servers, dict):
        raise ConfigError(f'{path}: expected {{"mcpServers": {{name: {{"command": ...}}}}}}')
    configs: dict[str, ServerConfig] = {}
    for name, entry in servers.items():
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: MCP server {name!r}: expected an object, found {entry!r}")
        entry = dict(entry)
        if not entry.pop("disabled", False):
            configs[name] = as_config(name, entry)
    return configs
