"""Actions from a file of real tool definitions: shapes and words the grammar does not have.

A definition becomes an `Action` in the grammar's form: what it does from its description or name, and for
each parameter a kind of value guessed from its name, description and type. Definitions that give too
little to go by are left out.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files import opened
from . import words as w
from .grammar import Action, ParameterRule
from .naming import content_words

_VERBS = frozenset(w.VERBS) | frozenset(
    "get fetch retrieve find search list show calculate compute determine look add book check convert create "
    "delete update send play set start stop generate recommend translate view obtain identify track monitor "
    "plan order buy provide return give make perform predict detect solve design learn browse explore "
    "discover access display extract upload download post join".split()
)
_CALC = frozenset(("calculate", "compute", "determine", "estimate", "evaluate"))
_GET = frozenset(
    (
        "get",
        "fetch",
        "retrieve",
        "look",
        "check",
        "show",
        "view",
        "obtain",
        "provide",
        "return",
        "give",
        "access",
        "display",
    )
)
_SEARCH = frozenset(("find", "search", "list", "browse", "explore", "discover"))
_CUT = re.compile(
    r"\s*(?:[.;:(\[]|, (?:including|such|e\.g|based)| based on | given | using "
    r"| by (?:its|their|providing|specifying)\b| with the (?:given|specified)"
    r"| for (?:a|the) (?:given|specific)).*",
    re.DOTALL,
)
_DANGLING = re.compile(r"(?:\s+(?:with|a|an|the|of|for|in|on|to|by|and|or|from|as|that|which))+$")
_EXAMPLES = re.compile(r"(?:e\.g\.?,?|such as|for example,?|example:|like)\s+([^().;]+)", re.IGNORECASE)
_NOISE = re.compile(
    r"^\[REQUIRED\]\s*(?:string|integer|boolean|number|array|object)?:?\s*|^(?:string|integer|boolean|number|array)\s*:\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ToolPool:
    """Actions of a pool file, findable by the words they share."""

    actions: tuple[Action, ...]
    by_word: Mapping[str, tuple[Action, ...]] = field(repr=False)


def _examples(text: str) -> tuple[str, ...]:
    match = _EXAMPLES.search(text)
    if match is None:
        return ()
    parts = [part.strip(" '\"`") for part in re.split(r",| or | and |/", match.group(1))]
    kept = tuple(
        part
        for part in parts
        if 1 < len(part) < 40
        and not re.search(r"[|~={}<>…]|etc|\.\.\.", part)
        and not part.lower().startswith(("a ", "the ", "an "))
    )
    return kept if len(kept) >= 2 else ()


@cache
def _kind_table() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    table: dict[str, list[tuple[re.Pattern[str], str]]] = defaultdict(list)
    for line in files(__package__).joinpath("pool_kinds.txt").read_text(encoding="utf8").splitlines():
        if not line.startswith("#"):
            json_type, pattern, kind = line.split(" ; ")
            table[json_type].append((re.compile(pattern), kind))
    return table


def _guess(json_type: str, name: str, description: str, fallback: str) -> str:
    for text in (name, description):
        for pattern, kind in _kind_table()[json_type]:
            if pattern.search(text):
                return kind
    return fallback


def _kind_text(name: str, schema: Mapping[str, Any], depth: int = 0) -> str | None:
    """The kind of a parameter in the grammar's own notation; None where nothing fits."""
    description = _NOISE.sub("", str(schema.get("description", "")))
    options = schema.get("enum")
    if isinstance(options, list):
        plain = [
            option for option in options if isinstance(option, str) and re.fullmatch(r"[\w .\-+]+", option)
        ]
        return f"enum({'/'.join(plain)})" if plain and len(plain) == len(options) else None
    spoken, said = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower(), description.lower()
    kind = schema.get("type")
    if kind == "boolean":
        feature = (
            " ".join(content_words(re.sub(r"^(is|has|include|enable|show|with)_", "", spoken))) or spoken
        )
        yes, no = f"with {feature},{feature} set to true", f"without {feature},{feature} set to false"
        return f"flag({yes}/{no})"
    if kind == "integer":
        return _guess("integer", spoken, said, "int(1/500)")
    if kind == "number":
        return _guess("number", spoken, said, "num(0.1/500)")
    if kind == "string":
        found = _examples(description)
        if found:
            return f"oneof({'|'.join(found)})"
        return _guess("string", spoken, said, "word")
    if kind == "array" and depth == 0:
        items = schema.get("items") or {"type": "string", "description": description}
        inner = _kind_text(name, {"description": description, **items}, depth + 1)
        if inner is None or inner.startswith(("enum", "obj", "flag")):
            return None
        return "series(1/100)" if items.get("type") in ("integer", "number") else f"listof({inner})"
    if kind == "object" and depth == 0 and isinstance(schema.get("properties"), Mapping):
        fields = []
        required = schema.get("required") or ()
        for key, inner_schema in list(schema["properties"].items())[:5]:
            inner = _kind_text(key, inner_schema, depth + 1)
            if inner is None or re.search(r"[,~=]", inner + key):
                continue
            fields.append(f"{key}{'' if key in required else '?'}={inner}")
        return f"obj({','.join(fields)})" if fields else None
    return None


def _action(tool: Mapping[str, Any]) -> Action | None:
    description = re.sub(r"\s+", " ", str(tool.get("description") or "")).strip()
    name_words = content_words(
        re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", tool["name"]).replace("_", " ").replace(".", " ")
    )
    goal = _DANGLING.sub("", _CUT.sub("", description).strip())
    first, _, rest = goal.partition(" ")
    verb = first.lower()
    if verb not in _VERBS and verb.endswith("s") and verb[:-1] in _VERBS:
        verb = verb[:-1]
    from_name = (
        " ".join(name_words[1:5]) if name_words and name_words[0] in _VERBS and len(name_words) > 1 else ""
    )
    is_plain = (
        rest.isascii()
        and "_" not in rest
        and "<" not in rest
        and not rest.endswith(("about", "whether", "if", "all", "your", "its"))
    )
    if verb in _VERBS and 1 <= len(rest.split()) <= 10 and is_plain:
        thing = re.sub(r"^(?:up|for) ", "", rest) if verb in ("look", "search") else rest
        verb = "look up" if verb == "look" else verb
    elif from_name:
        verb, thing = name_words[0], from_name
    else:
        return None
    rules = []
    required = tool["parameters"].get("required") or []
    for name, schema in list(tool["parameters"].get("properties", {}).items())[:9]:
        if not isinstance(schema, Mapping) or not re.fullmatch(r"\w+", name):
            return None
        kind = _kind_text(name, schema)
        if kind is None:
            if name in required:
                return None
            continue
        head, bracket, argument = kind.partition("(")
        text = _NOISE.sub("", str(schema.get("description", ""))).strip()[:160]
        rules.append(
            ParameterRule(
                (re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower(),),
                head,
                argument[:-1] if bracket else "",
                name in required,
                None,
                (),
                text,
            )
        )
    if len({rule.names for rule in rules}) < len(rules):
        return None
    family = "calc" if verb in _CALC else "get" if verb in _GET else "search" if verb in _SEARCH else "do"
    thing = thing[0].lower() + thing[1:] if len(thing) > 1 and not thing[1].isupper() else thing
    said = (from_name,) if from_name and len(from_name.split()) >= 2 else ()
    return Action(
        name_words[-1] if name_words else verb,
        family,
        (verb,),
        thing,
        tuple(rules),
        said,
        (),
        True,
        description[:240],
    )


@cache
def load_pool(path: str) -> ToolPool:
    """Read a pool file: JSON lines, in zstandard where the name ends in `.zst`, of `{"tool": {...}}`."""
    found: dict[tuple[str, str], Action] = {}
    with opened(Path(path)) as file:
        for line in io.TextIOWrapper(file, encoding="utf8"):
            action = _action(json.loads(line)["tool"])
            if action is not None:
                found.setdefault((action.verbs[0], action.object), action)
    by_word: dict[str, list[Action]] = defaultdict(list)
    for action in found.values():
        for word in set(content_words(action.object)):
            by_word[word].append(action)
    return ToolPool(tuple(found.values()), {word: tuple(actions) for word, actions in by_word.items()})
