"""Who asks: the `User-Agent` that public services want, with a way to reach whoever runs the bot."""

from __future__ import annotations

import os
import platform

import aiohttp

from agent_runtime import ConfigError, __version__

CONTACT_VARIABLE = "SMOLCALL_CONTACT"


def user_agent(contact: str | None = None) -> str:
    """The header, with the contact where one is known."""
    contact = contact or os.environ.get(CONTACT_VARIABLE)
    about = f" ({contact})" if contact else ""
    libraries = f"aiohttp/{aiohttp.__version__} Python/{platform.python_version()}"
    return f"smolcall-example-bot/{__version__}{about} {libraries}"


def contact_or_error(service: str) -> str:
    """The contact, for services that block bots without one.

    Raises:
        ConfigError: none is set.
    """
    contact = os.environ.get(CONTACT_VARIABLE)
    if not contact:
        raise ConfigError(
            f"{service} asks every bot to say how its owner can be reached: set {CONTACT_VARIABLE} to your "
            "mail address or web page, or try the bot with --offline"
        )
    return contact
