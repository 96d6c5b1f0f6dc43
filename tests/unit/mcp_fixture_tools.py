"""Tools that tests offer through an MCP server; what one prints must not disturb the protocol."""

from __future__ import annotations

from typing import Literal

from agent_runtime import tool


@tool(is_idempotent=True)
def weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, object]:
    """Current weather for a city.

    Args:
        city: City name.
        unit: Unit of temperature.
    """
    print("asked about", city)  # noqa: T201
    return {"city": city, "degrees": 21, "unit": unit}


@tool
def broken(reason: str) -> str:
    """Always fails."""
    raise RuntimeError(reason)
