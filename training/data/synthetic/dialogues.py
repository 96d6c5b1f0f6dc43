"""Conversations of several turns: results reported, errors, follow-ups, chains, small talk."""

from __future__ import annotations

import json

from . import openings, phrases, replies, requests
from . import words as w
from .composed import composed_action
from .conversation import Conversation
from .draw import Draw
from .grammar import ParameterRule
from .kinds import Piece, Said
from .naming import content_words, humanise
from .offering import Split, draw_action, offer
from .results import make_result, plain_value
from .tools import DrawnTool, Parameter, draw_tool


def chat(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """Small talk and plain questions with tools at hand."""
    talk = Conversation(draw)
    talk_chat(draw, talk)
    return [draw_tool(draw, draw_action(draw, split)) for _ in range(draw.between(0, 3))], talk


def talk_chat(draw: Draw, talk: Conversation) -> None:
    """Small talk or a plain question, answered in words."""
    if draw.chance(0.6):
        said, reply = draw.pick(replies.SMALL_TALK)
        talk.say("user", said)
    else:
        question, answer, facts = draw.pick(replies.FACTS)
        fact = draw.pick(facts.split(";")).split("|")
        talk.say("user", question.format(*fact))
        reply = answer.format(*fact)
    talk.say("assistant", reply)


def _say_result(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    payload, told = make_result(draw, tool)
    talk.say("tool", payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False))
    talk.say("assistant", told)


def report(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """A call, its result (or its failure, retried or told), and the sentence that reports it."""
    tool = draw_tool(draw, draw_action(draw, split))
    talk = Conversation(draw)
    talk_report(draw, talk, tool)
    return offer(draw, [tool], split, 0 if draw.chance(0.6) else draw.between(1, 3)), talk


def talk_report(draw: Draw, talk: Conversation, tool: DrawnTool) -> None:
    """A request, its call, the result or failure, and what the reply makes of it."""
    given = requests.choose_values(draw, tool)
    talk.user(requests.say_request(draw, tool, given))
    talk.call([(tool, given)])
    if draw.chance(0.15):
        reason = draw.pick(
            (
                "timeout",
                "service unavailable",
                "connection reset",
                "rate limit reached, try again",
                "temporary failure",
            )
        )
        talk.say("tool", draw.pick((json.dumps({"error": reason}), f"Error: {reason}")))
        talk.call([(tool, given)])
    if draw.chance(0.12):
        reason = draw.pick(
            (
                f"{humanise(draw.pick(list(given)) if given else 'entry')} not found",
                "permission denied",
                "not enough credit",
                "no such entry",
                "already exists",
                "the service is closed today",
            )
        )
        talk.say("tool", draw.pick((json.dumps({"error": reason}), f"Error: {reason}")))
        talk.say(
            "assistant",
            draw.pick(
                (f"That did not work: {reason}.", f"Sorry, that failed: {reason}.", f"It failed: {reason}.")
            ),
        )
    else:
        _say_result(draw, talk, tool)


def follow_up(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """The same call again with one value changed: "And in Rome?"."""
    talk = Conversation(draw)
    while True:
        tool = draw_tool(draw, draw_action(draw, split))
        if talk_follow_up(draw, talk, tool):
            return offer(draw, [tool], split, 0 if draw.chance(0.6) else draw.between(1, 3)), talk


def talk_follow_up(draw: Draw, talk: Conversation, tool: DrawnTool) -> bool:
    """A call, its result, and the call again with one value changed; False where no value can change."""
    given = requests.choose_values(draw, tool)
    changeable = [p for p in tool.parameters if p.name in given and not p.kind.is_self_explaining]
    if not changeable:
        return False
    changed = draw.pick(changeable)
    said = changed.kind.sample(draw)
    if said[0] == given[changed.name][0]:
        return False
    talk.user(requests.say_request(draw, tool, given))
    talk.call([(tool, given)])
    _say_result(draw, talk, tool)
    talk.user(_say_change(draw, changed, said))
    talk.carry_over({name for name in given if name != changed.name}, 0, 1)
    again = {name: said if name == changed.name else old for name, old in given.items()}
    talk.call([(tool, again)], first=1)
    return True


def _say_change(draw: Draw, changed: Parameter, said: Said) -> list[Piece]:
    """One value that is another now."""
    value = phrases.value_pieces(changed, said, 1)
    form = draw.between(0, 5)
    label = changed.label
    if form == 0 and changed.phrases:
        return [
            draw.pick(("And", "What about", "And now", "Now", "Again")),
            *phrases.hang(draw, changed, value, 1),
            "?",
        ]
    if form <= 1:
        return [f"What if the {label} is ", *value, "?"]
    if form == 2:
        return [f"Do it again with {label} ", *value, "."]
    if form == 3:
        return [f"Same with the {label} ", *value, ", please."]
    if form == 4:
        return [f"Change the {label} to ", *value, "."]
    return [f"No, the {label} should be ", *value, "."]


def chain(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """The second call needs a value that only the first one's result holds."""
    first = draw_tool(draw, draw_action(draw, split))
    noun = (content_words(first.action.object.split(" of ")[-1]) or ("entry",))[-1]
    key = draw.pick((f"{noun}_id", "id", f"{noun}_code", "reference", f"{noun}_number", "result"))
    kind = draw.pick(("id", "id", "int(100/99999)", "path", "num(1/900)"))
    head, _, argument = kind.partition("(")
    needed = ParameterRule(
        (key if draw.chance(0.7) else f"{noun}_key",), head, argument.rstrip(")"), True, None, ()
    )
    while True:
        action = composed_action(draw)
        second_action = action._replace(
            parameters=(
                needed,
                *(rule for rule in action.parameters[:2] if rule.names[0] not in needed.names),
            )
        )
        second = draw_tool(draw, second_action)
        if second.name != first.name:
            break
    taken = next(p for p in second.parameters if p.rule_name == needed.names[0])
    given = requests.choose_values(draw, first, optional_rate=0.15)
    then = requests.choose_values(draw, second, optional_rate=0.15)
    talk = Conversation(draw)
    rest = {name: said for name, said in then.items() if name != taken.name}
    link = draw.pick((" Then ", " After that, ", " With the result, ", " Next, "))
    reference = draw.pick(
        (
            f" with the {taken.label} you get",
            f" using its {taken.label}",
            f" with that {taken.label}",
            " with the result",
            f" with the resulting {taken.label}",
        )
    )
    opening = openings.open_request(draw, second, rest, 1, allow_inside=False)
    goal = f"{second.verb} {second.action.object}"
    talk.user(
        [
            *requests.say_request(draw, first, given, 0),
            link,
            goal,
            reference,
            *phrases.say_values(draw, second, rest, 1),
            opening.after or ".",
        ]
    )
    talk.call([(first, given)])
    value = then[taken.name][0]
    payload = {key: value}
    if draw.chance(0.5):
        payload = {draw.pick(("status", "state")): "ok", **payload, draw.pick(w.NOUNS): plain_value(draw)}
    talk.say("tool", json.dumps(payload, ensure_ascii=False))
    talk.found(f"1:{taken.name}", value if isinstance(value, str) else json.dumps(value))
    talk.call([(second, then)], first=1)
    if draw.chance(0.3):
        _say_result(draw, talk, second)
    return offer(draw, [first, second], split, 0 if draw.chance(0.6) else draw.between(1, 3)), talk


def second_request(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    """A new request after an earlier, finished one: its values do not belong to the new call."""
    tools, talk = report(draw, split) if draw.chance(0.7) else chat(draw, split)
    tool = draw_tool(draw, draw_action(draw, split))
    given = requests.choose_values(draw, tool)
    talk.user(requests.say_request(draw, tool, given, 5))
    talk.call([(tool, given)], first=5)
    return draw.shuffled([tool, *tools]), talk
