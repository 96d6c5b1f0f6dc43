"""Several tools asked about the same thing: "the area and the perimeter of a square with sides of 4"."""

from __future__ import annotations

from . import openings, phrases, requests
from .conversation import Conversation
from .draw import Draw
from .kinds import Piece, Said
from .naming import plural
from .tools import DrawnTool, Parameter


def sharing_tools(draw: Draw, tools: list[DrawnTool]) -> list[DrawnTool]:
    """Some of the tools that need the very same values, two to four of them; none if there are not two."""
    groups: dict[tuple[object, ...], list[DrawnTool]] = {}
    for tool in tools:
        needed = _needed(tool)
        if needed and not any(p.kind.is_self_explaining for p in needed):
            groups.setdefault(_key(tool, needed), []).append(tool)
    found = [group for group in groups.values() if len(group) > 1]
    if not found:
        return []
    group = draw.pick(found)
    return draw.sample(group, min(len(group), 2 if draw.chance(0.7) else draw.between(3, 4)))


def _needed(tool: DrawnTool) -> list[Parameter]:
    return [p for p in tool.parameters if p.is_required]


def _key(tool: DrawnTool, needed: list[Parameter]) -> tuple[object, ...]:
    """What the tool needs; a single text may be called differently by tools of one domain."""
    domain = tool.action.domain
    if len(needed) == 1 and needed[0].kind.schema["type"] == "string":
        return (domain, needed[0].kind_name, str(needed[0].kind.schema))
    return (domain, *sorted((p.rule_name, str(p.kind.schema), p.kind.hint) for p in needed))


def talk_sharing(draw: Draw, talk: Conversation, tools: list[DrawnTool]) -> None:
    """One request for a call of each of the tools with the same values, or with two sets of them."""
    first = tools[0]
    needed = _needed(first)
    sets = [requests.choose_values(draw, first, optional_rate=0.0)]
    is_single_text = len(needed) == 1 and needed[0].kind.schema["type"] == "string"
    if is_single_text and draw.chance(0.2):
        again = requests.choose_values(draw, first, optional_rate=0.0)
        if requests.arguments_of(again) != requests.arguments_of(sets[0]):
            sets.append(again)
    heads = _heads(tools)
    if heads and (len(sets) > 1 or draw.chance(0.6)):
        pieces = _say_heads(draw, first, heads, sets)
    else:
        sets = sets[:1]
        pieces = _say_in_turn(draw, tools, sets[0])
    talk.user(pieces)
    calls: list[tuple[DrawnTool, dict[str, Said]]] = []
    for tool in tools:
        for number, given in enumerate(sets):
            names = _names(first, tool)
            if tool is not first:
                for name, other in names.items():
                    talk.share(f"{number}:{name}", f"{len(calls)}:{other}")
            calls.append((tool, {names[name]: said for name, said in given.items()}))
    talk.call(calls)


def _names(first: DrawnTool, tool: DrawnTool) -> dict[str, str]:
    """The tool's name for each of the values the first one needs."""
    needed, others = _needed(first), _needed(tool)
    if len(needed) > 1:
        needed = sorted(needed, key=lambda p: p.rule_name)
        others = sorted(others, key=lambda p: p.rule_name)
    return {p.name: other.name for p, other in zip(needed, others, strict=True)}


def _heads(tools: list[DrawnTool]) -> list[str]:
    """What is asked of the thing by each tool, with the thing behind the last; none if the things differ."""
    parts = [tool.action.object.partition(" of ") for tool in tools]
    if len({tail for _, _, tail in parts}) > 1 or not parts[0][2]:
        return []
    if any(tool.action.family not in ("calc", "get") for tool in tools):
        return []
    says_thing = not tools[0].action.said_objects
    heads = [head for head, _, _ in parts]
    return [*heads[:-1], f"{heads[-1]} of {parts[0][2]}"] if says_thing else heads


def _say_heads(draw: Draw, tool: DrawnTool, heads: list[str], sets: list[dict[str, Said]]) -> list[Piece]:
    """As in "What are the length and the source of the Nile?"."""
    if draw.chance(0.4):
        heads = [heads[0], *(head.removeprefix("the ") for head in heads[1:])]
    last = draw.pick((" and ", " and ", " as well as ", " and also "))
    listed = f"{', '.join(heads[:-1])}{last}{heads[-1]}"
    before, _, after = draw.pick(openings.QUESTIONS).partition("{thing}")
    before = before.replace("What is", "What are").replace("What's", "What are")
    if draw.chance(0.3):
        before, after = draw.pick((("Find ", "."), ("Get ", "."), ("Can you find ", "?"), ("Look up ", ".")))
    if len(sets) == 1:
        return [before, listed, *phrases.say_values(draw, tool, sets[0], 0), after]
    parameter = _needed(tool)[0]
    items = [phrases.value_pieces(parameter, given[parameter.name], n) for n, given in enumerate(sets)]
    joined = phrases.hang(draw, parameter, phrases.join_items(draw, items), len(items))
    return [before, listed, *joined, after]


_TAILS = (
    " as well",
    " too",
    "",
    "",
    " for the same {}",
    " with the same {}",
    " of the same {}",
    " for that {}",
    " with these values",
)


def _say_in_turn(draw: Draw, tools: list[DrawnTool], given: dict[str, Said]) -> list[Piece]:
    """The first request in full, what else is wanted behind it."""
    pieces = requests.say_request(draw, tools[0], given, 0, is_alone=False)
    labels = [p.said_label for p in _needed(tools[0])]
    for number, tool in enumerate(tools[1:], 1):
        opening = openings.open_request(draw, tool, {}, number, allow_inside=False)
        label = labels[0] if len(labels) == 1 else plural(draw.pick(("value", "number", "input")))
        tail = draw.pick(_TAILS).format(label)
        joiner = draw.pick((" Also, ", " And ", " Then, ", " In addition, ", " Also "))
        pieces += [joiner, *requests.decapitalise([*opening.before, tail, opening.after])]
    return pieces
