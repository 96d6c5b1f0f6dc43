"""Runs inside the official program's environment: makes our names known to it, then is its command line.

    VENV/bin/python -P launcher.py NAME[,NAME...] generate --model NAME ...

The program knows its models by a table; nothing else of it is touched. Only bfcl-eval is imported here.
"""

from __future__ import annotations

import sys

from bfcl_eval.__main__ import cli
from bfcl_eval.constants.model_config import MODEL_CONFIG_MAPPING, ModelConfig
from bfcl_eval.model_handler.api_inference.openai_completion import OpenAICompletionsHandler

SERVED_NAME = "smolcall"


def register(name: str) -> None:
    """Enter a name into the program's table, as a model behind an OpenAI-compatible server."""
    MODEL_CONFIG_MAPPING.setdefault(
        name,
        ModelConfig(
            model_name=SERVED_NAME,
            display_name=name,
            url="",
            org="",
            license="",
            model_handler=OpenAICompletionsHandler,
            is_fc_model=True,
            underscore_to_dot=True,
        ),
    )


if __name__ == "__main__":
    for each in sys.argv.pop(1).split(","):
        register(each)
    cli()
