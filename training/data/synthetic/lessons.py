"""Single turns: one call, several, none."""

from __future__ import annotations

from collections.abc import Callable

from . import openings, phrases, questions, replies, requests
from .conversation import Conversation
from .draw import Draw
from .kinds import Piece, Said
from .naming import plural
from .offering import Split, distractors, draw_action, num_distractors, offer
from .tools import DrawnTool, Parameter, draw_tool

Lesson = Callable[[Draw, Split], tuple[list[DrawnTool], Conversation]]


def single(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """One call."""
    tool = draw_tool(draw, draw_action(draw, split))
    talk = Conversation(draw)
    talk_single(draw, talk, tool)
    return offer(draw, [tool], split, num_distractors(draw)), talk


def talk_single(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    """A request and its call."""
    given = requests.choose_values(draw, tool)
    talk.user(requests.say_request(draw, tool, given))
    talk.call([(tool, given)])


def parallel(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """Several calls of one tool."""
    tool = draw_tool(draw, draw_action(draw, split))
    talk = Conversation(draw)
    talk_parallel(draw, talk, tool)
    return offer(draw, [tool], split, num_distractors(draw)), talk


def talk_parallel(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    """One request for several calls of one tool."""
    count = 2 if draw.chance(0.6) else draw.between(3, 4)
    first = requests.choose_values(draw, tool, optional_rate=0.2) or requests.choose_values(
        draw, tool, optional_rate=1
    )
    given_parameters = [p for p in tool.parameters if p.name in first]
    varying = {p.name for p in given_parameters}
    if len(given_parameters) > 1 and draw.chance(0.5):  # the others are said once, for all calls
        varying = {
            p.name
            for p in draw.sample(
                [p for p in given_parameters if not p.kind.is_self_explaining] or given_parameters, 1
            )
        }
    givens = [first]
    for _ in range(count - 1):
        given = {
            p.name: p.kind.sample(draw) if p.name in varying else first[p.name] for p in given_parameters
        }
        if all(requests.arguments_of(given) != requests.arguments_of(other) for other in givens):
            givens.append(given)
    talk.user(_say_parallel(draw, tool, givens, varying))
    talk.call([(tool, given) for given in givens])


def _say_parallel(
    draw: Draw, tool: DrawnTool, givens: list[dict[str, Said]], varying: set[str]
) -> list[Piece]:
    """One request for several calls of one tool."""
    shared = {name: said for name, said in givens[0].items() if name not in varying}
    if not shared and draw.chance(0.25):  # each call in a sentence of its own
        pieces: list[Piece] = []
        for number, given in enumerate(givens):
            said = requests.say_request(draw, tool, given, number)
            pieces += (
                [draw.pick((" Also, ", " And ", " Then ")), *requests.decapitalise(said)] if number else said
            )
        return pieces
    opening = openings.open_request(draw, tool, givens[0], 0, allow_inside=False)
    told_apart = [p for p in tool.parameters if p.name in varying]
    if not shared and len(told_apart) == 2 and len(givens) == 2 and draw.chance(0.35):
        if not any(p.kind.schema["type"] == "array" or p.kind.is_self_explaining for p in told_apart):
            return [*opening.before, *_say_respectively(draw, told_apart, givens), opening.after]
    joiner = draw.pick((" and also", ", and then", " and", "; then", " as well as", " and finally"))
    only = next((p for p in tool.parameters if p.name in varying), None)
    if (
        only is not None and len(varying) == 1 and only.kind.schema["type"] != "array" and draw.chance(0.75)
    ):  # "in Paris, Rome and Oslo"
        items = [phrases.value_pieces(only, given[only.name], number) for number, given in enumerate(givens)]
        listed = phrases.join_items(draw, items)
        body = phrases.hang(draw, only, listed, len(givens))
    else:
        body = []
        form = draw.between(0, 4)
        for number, given in enumerate(givens):
            part = {name: said for name, said in given.items() if name in varying}
            body += [
                "" if not number else joiner if number == len(givens) - 1 else ",",
                *phrases.say_values(draw, tool, part, number, form=form),
            ]
    common = phrases.say_values(draw, tool, shared, -1)
    if draw.chance(0.5) and shared:
        return [*opening.before, *common, *body, opening.after]
    return [
        *opening.before,
        *body,
        *(["," if draw.chance(0.3) else "", *common] if shared else []),
        opening.after,
    ]


def _say_respectively(draw: Draw, parameters: list[Parameter], givens: list[dict[str, Said]]) -> list[Piece]:
    """Values by parameter: "with bases 3 and 5 and heights 2 and 4, respectively"."""
    pieces: list[Piece] = []
    for place, parameter in enumerate(parameters):
        label = plural(parameter.said_label)
        items = [
            phrases.value_pieces(parameter, given[parameter.name], number)
            for number, given in enumerate(givens)
        ]
        pieces += [
            " and " if place else draw.pick((" with ", " for ", " using ")),
            f"{label} ",
            *phrases.join_items(draw, items),
        ]
    return [*pieces, draw.pick((", respectively", " respectively"))]


def several(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """Calls of different tools, one of them at times twice."""
    count = 2 if draw.chance(0.65) else draw.between(3, 4)
    tools: list[DrawnTool] = []
    while len(tools) < count:
        tool = draw_tool(draw, draw_action(draw, split))
        is_long = len(tool.parameters) > 4 and draw.chance(0.7)  # the listing is long enough without it
        if not is_long and all(tool.name != other.name for other in tools):
            tools.append(tool)
    talk = Conversation(draw)
    talk_several(draw, talk, tools)
    return offer(draw, tools, split, 0 if draw.chance(0.65) else draw.between(1, 3)), talk


def talk_several(draw: Draw, talk: Conversation, tools: list[DrawnTool]) -> None:
    """One request for a call of each of the tools."""
    calls = [(tool, requests.choose_values(draw, tool, optional_rate=0.2)) for tool in tools]
    if draw.chance(0.2) and calls[0][1]:  # the first tool once more
        again = {p.name: p.kind.sample(draw) for p in tools[0].parameters if p.name in calls[0][1]}
        if requests.arguments_of(again) != requests.arguments_of(calls[0][1]):
            calls.append((tools[0], again))
    pieces: list[Piece] = []
    joiner = draw.pick((" Also, ", " Then, ", " And ", " After that, ", " "))
    for number, (tool, given) in enumerate(calls):
        said = requests.say_request(draw, tool, given, number)
        pieces += [joiner, *(requests.decapitalise(said) if joiner != " " else said)] if number else said
    talk.user(pieces)
    talk.call(calls)


def missing(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """A required value is not said: the reply asks for exactly that, and may get it."""
    while True:
        tool = draw_tool(draw, draw_action(draw, split))
        if can_miss(tool):
            break
    talk = Conversation(draw)
    talk_missing(draw, talk, tool)
    return offer(draw, [tool], split, num_distractors(draw)), talk


def can_miss(tool: DrawnTool) -> bool:
    """Whether the tool needs a value that a reply can ask for."""
    return bool(_askable(tool))


def _askable(tool: DrawnTool) -> list[Parameter]:
    return [p for p in tool.parameters if p.is_required and not p.kind.is_self_explaining]


def talk_missing(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    """A request without a required value, the question for it, and at times the answer and the call."""
    required = _askable(tool)
    given = requests.choose_values(draw, tool, optional_rate=0.15)
    left_out = draw.sample(required, 1 if draw.chance(0.8) else 2)
    partly = {name: said for name, said in given.items() if all(p.name != name for p in left_out)}
    talk.user(requests.say_request(draw, tool, partly))
    if len(left_out) == 1:
        talk.say("assistant", _ask_for(draw, left_out[0]))
    else:
        talk.say(
            "assistant", draw.pick(replies.ASK_MORE).format(" and ".join(f"the {p.label}" for p in left_out))
        )
    if draw.chance(0.4):
        pieces: list[Piece] = []
        for number, parameter in enumerate(left_out):
            pieces += [" and " if number else "", *phrases.value_pieces(parameter, given[parameter.name], 0)]
        talk.user(pieces)
        talk.call([(tool, given)])


def _ask_for(draw: Draw, parameter: Parameter) -> str:
    options = parameter.kind.schema.get("enum", ())
    if 1 < len(options) <= 4 and draw.chance(0.5):
        *first, last = map(str, options)
        return draw.pick(replies.ASK_WHICH).format(parameter.label, f"{', '.join(first)} or {last}")
    is_plural = parameter.label.endswith("s") and not parameter.label.endswith("ss")
    return draw.pick(replies.ASK_SEVERAL if is_plural else replies.ASK_ONE).format(parameter.label)


def none_fits(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """No offered tool can do what is asked."""
    talk = Conversation(draw)
    count = 1 if draw.chance(0.6) else draw.between(2, 5)
    if draw.chance(0.3):
        offered = [draw_tool(draw, draw_action(draw, split)) for _ in range(count)]
        talk_none_fits(draw, talk, None)
    else:
        tool = draw_tool(draw, draw_action(draw, split))
        offered = distractors(draw, [tool], split, count, near_share=0.45)
        talk_none_fits(draw, talk, tool)
    return offered, talk


def talk_none_fits(draw: Draw, talk: Conversation, tool: DrawnTool | None) -> None:
    """A request for a tool that is not offered, or for what no tool does, declined."""
    if tool is None:
        talk.say("user", questions.out_of_reach(draw))
    else:
        talk.user(requests.say_request(draw, tool, requests.choose_values(draw, tool)))
    talk.say("assistant", draw.pick(replies.NO_TOOL))
