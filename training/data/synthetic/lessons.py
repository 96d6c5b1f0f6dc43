"""Single turns: one call, several, none."""

from __future__ import annotations

from collections.abc import Callable

from . import phrases, questions, repeated, replies, requests, sharing
from .conversation import Conversation
from .draw import Draw
from .kinds import Piece, Said
from .offering import Split, distractors, draw_action, num_distractors, offer, related_action
from .tools import DrawnTool, Parameter, draw_tool, subject_of

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
    while not tool.parameters:  # nothing could differ between its calls
        tool = draw_tool(draw, draw_action(draw, split))
    talk = Conversation(draw)
    talk_parallel(draw, talk, tool)
    return offer(draw, [tool], split, num_distractors(draw)), talk


def talk_parallel(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    """One request for several calls of one tool."""
    count = 2 if draw.chance(0.6) else draw.between(3, 4)
    first = requests.choose_values(
        draw, tool, optional_rate=draw.pick((0.0, 0.2, 0.5))
    ) or requests.choose_values(draw, tool, optional_rate=1)
    given_parameters = [p for p in tool.parameters if p.name in first]
    varying = {p.name for p in given_parameters}
    if len(given_parameters) > 1 and draw.chance(0.6):  # the others are said once, for all calls
        most = 1 if len(given_parameters) == 2 or draw.chance(0.6) else 2
        can_vary = [p for p in given_parameters if not p.kind.is_self_explaining] or given_parameters
        varying = {p.name for p in draw.sample(can_vary, most)}
    givens = [first]
    for _ in range(count - 1):
        given = {
            p.name: p.kind.sample(draw) if p.name in varying else first[p.name] for p in given_parameters
        }
        if all(requests.arguments_of(given) != requests.arguments_of(other) for other in givens):
            givens.append(given)
    talk.user(repeated.say_repeated(draw, tool, givens, varying))
    talk.call([(tool, given) for given in givens])


def several(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """Calls of different tools, one of them at times twice, at times all about the same."""
    talk = Conversation(draw)
    if draw.chance(0.35):
        offered = related(draw, split, draw.between(2, 4))
        tools = sharing.sharing_tools(draw, offered)
        if tools:
            sharing.talk_sharing(draw, talk, tools)
            return offered, talk
    count = 2 if draw.chance(0.65) else draw.between(3, 4)
    tools = []
    while len(tools) < count:
        tool = draw_tool(draw, draw_action(draw, split))
        is_long = len(tool.parameters) > 4 and draw.chance(0.7)  # the listing is long enough without it
        if not is_long and all(tool.name != other.name for other in tools):
            tools.append(tool)
    talk_several(draw, talk, tools)
    return offer(draw, tools, split, 0 if draw.chance(0.65) else draw.between(1, 3)), talk


def related(draw: Draw, split: Split, count: int) -> list[DrawnTool]:
    """Tools about the same thing, or of the same sort."""
    tool = draw_tool(draw, related_action(draw, split))
    return draw.shuffled([tool, *distractors(draw, [tool], split, count - 1, near_share=1.0)])


def talk_several(draw: Draw, talk: Conversation, tools: list[DrawnTool]) -> None:
    """One request for a call of each of the tools, or for several calls of some."""
    calls: list[tuple[DrawnTool, dict[str, Said]]] = []
    said: list[list[Piece]] = []
    repeats = draw.chance(0.3)
    for tool in tools:
        given = requests.choose_values(draw, tool, optional_rate=draw.pick((0.0, 0.2, 0.5)))
        again = _other_values(draw, tool, given) if repeats and draw.chance(0.6) else []
        if again:
            pieces = repeated.say_repeated(draw, tool, [given, *again], set(given))
            said.append(repeated.later(pieces, len(calls)))
        else:
            said.append(requests.say_request(draw, tool, given, len(calls), is_alone=False))
        calls += [(tool, values) for values in (given, *again)]
    if draw.chance(0.15) and calls[0][1]:  # the first tool once more
        given = {p.name: p.kind.sample(draw) for p in tools[0].parameters if p.name in calls[0][1]}
        if requests.arguments_of(given) != requests.arguments_of(calls[0][1]):
            said.append(requests.say_request(draw, tools[0], given, len(calls), is_alone=False))
            calls.append((tools[0], given))
    talk.user(repeated.join_requests(draw, said))
    talk.call(calls)


def _other_values(draw: Draw, tool: DrawnTool, given: dict[str, Said]) -> list[dict[str, Said]]:
    """Values for one or two more calls of a tool that takes few."""
    parameters = [p for p in tool.parameters if p.name in given]
    if not 0 < len(parameters) < 3 or any(p.kind.is_self_explaining for p in parameters):
        return []
    found = [given]
    for _ in range(draw.pick((1, 1, 2))):
        values = {p.name: p.kind.sample(draw) for p in parameters}
        if all(requests.arguments_of(values) != requests.arguments_of(other) for other in found):
            found.append(values)
    return found[1:]


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
    if draw.chance(0.4):
        offered = [draw_tool(draw, draw_action(draw, split)) for _ in range(count)]
        talk_none_fits(draw, talk, None, draw.pick(offered))
    else:
        tool = draw_tool(draw, draw_action(draw, split))
        offered = []
        while not offered:  # none, where all that were drawn could be meant as well
            offered = distractors(draw, [tool], split, count, near_share=0.45)
        talk_none_fits(draw, talk, tool)
    return offered, talk


def talk_none_fits(
    draw: Draw, talk: Conversation, tool: DrawnTool | None, offered: DrawnTool | None = None
) -> None:
    """What no offered tool does, declined: a wish for another tool, or a question near what one is about."""
    if offered is not None and draw.chance(0.25) and not offered.action.description:
        talk.say("user", questions.beside(draw, subject_of(offered.action)))
    elif tool is None:
        talk.say("user", questions.out_of_reach(draw))
    else:
        talk.user(requests.say_request(draw, tool, requests.choose_values(draw, tool)))
    talk.say("assistant", draw.pick(replies.NO_TOOL))
