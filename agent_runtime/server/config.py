"""What the server is told: `ServerConfig`. How the model runs is said to `DeploymentConfig`."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)

from ..errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


class ServerConfig(BaseModel):
    """Where the server listens, who may ask, and how much. Frozen.

    Raises:
        ConfigError: a value out of range, or an address open to others without a key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen at. Only this machine can reach the default; any other needs `api_key`."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen at; 0 takes a free one."""

    api_key: SecretStr | None = None
    """Whoever asks for anything under /v1 must know it (`Authorization: Bearer ...`). None asks nobody."""

    model_name: str = Field(default="smolcall", min_length=1)
    """What clients call the model."""

    model_aliases: tuple[str, ...] = ()
    """Further names that mean the same model, for clients that insist on one."""

    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Bytes one request's body may have; a larger one is refused with status 413."""

    max_connections: int = Field(default=512, ge=1)
    """Connections open at the same time; the next one is refused with status 503."""

    max_choices: int = Field(default=8, ge=1, le=128)
    """Replies one request may ask for (`n`)."""

    rate_per_minute: int = Field(default=120, ge=0)
    """Requests under /v1 per minute and client address; beyond it status 429. 0 sets no limit."""

    request_timeout_s: float = Field(default=30.0, gt=0.0, allow_inf_nan=False)
    """Seconds a request may take, waiting included; a request may ask for less, not for more."""

    header_timeout_s: float = Field(default=30.0, gt=0.0, allow_inf_nan=False)
    """Seconds a connection may stay open without a whole request head, from its start or its last reply."""

    body_timeout_s: float = Field(default=15.0, gt=0.0, allow_inf_nan=False)
    """Seconds a request's body may take to arrive."""

    write_timeout_s: float = Field(default=15.0, gt=0.0, allow_inf_nan=False)
    """Seconds a client may leave sent data unread before its connection is cut and its turn cancelled."""

    max_turns: int = Field(default=8, ge=1)
    """Turns one question of the chat page may take."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def known_names(self) -> tuple[str, ...]:
        """Every name a client may give the model."""
        return (self.model_name, *self.model_aliases)

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> Self:
        if self.api_key is not None and not self.api_key.get_secret_value().strip():
            raise ConfigError("api_key is empty: give a key of some length, or leave it out")
        if not self.is_loopback and self.api_key is None:
            raise ConfigError(
                f"host={self.host!r} contradicts api_key=None: others could reach the server without a key; "
                "set --api-key (or SMOLCALL_API_KEY), or listen at 127.0.0.1"
            )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _raise_config_errors(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise ConfigError(
                "; ".join(f"{'.'.join(map(str, one['loc'])) or 'server'}: {one['msg']}" for one in found)
            ) from error
