"""The stream of synthetic examples: which lesson example `i` teaches, and its conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal

from agent_runtime.messages import EvidenceSpan

from ..example import Example, ValuePath, leaves
from . import replies, requests
from . import words as w
from .composed import composed_action, is_held_out, near_misses
from .draw import Draw
from .grammar import Action, actions
from .kinds import Piece, Said
from .naming import humanise
from .tools import DrawnTool, draw_tool, shares_words

Split = Literal["train", "dev"]
_DEV_SHARE = 16  # one action in so many is only ever called in dev


class Conversation:
    """Messages being written, with the evidence of the calls in them."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.messages: list[dict[str, Any]] = []
        self.evidence: dict[ValuePath, EvidenceSpan | None] = {}
        self._spans: dict[str, EvidenceSpan] = {}

    def user(self, pieces: list[Piece]) -> None:
        """A user message; its copied values become evidence for the calls that follow."""
        if self.draw.chance(0.12):
            pieces = requests.add_noise(self.draw, pieces)
        text, spans = requests.write(pieces)
        stripped = len(text) - len(text.lstrip())
        text = text.strip()
        for path, (start, end) in spans.items():
            self._spans[path] = EvidenceSpan(message_index=len(self.messages), start=start - stripped, end=end - stripped)
        self.messages.append({"role": "user", "content": text})

    def say(self, role: str, text: str) -> None:
        """Any message without values."""
        self.messages.append({"role": role, "content": text})

    def call(self, calls: list[tuple[DrawnTool, dict[str, Said]]], first: int = 0) -> None:
        """The assistant's calls; `first` is the number the request gave to the first of them."""
        index = len(self.messages)
        listed = []
        for number, (tool, given) in enumerate(calls):
            arguments = {p.name: given[p.name][0] for p in tool.parameters if p.name in given}
            listed.append({"name": tool.name, "arguments": arguments})
            for path, _ in leaves(arguments):
                self.evidence[index, number, path] = self._spans.get(f"{first + number}:{path}") or self._spans.get(f"-1:{path}")
        self.messages.append({"role": "assistant", "content": "", "tool_calls": listed})


@cache
def _actions_of(split: Split) -> tuple[Action, ...]:
    """Actions are held out whole: an action of dev is never the target in train."""
    return tuple(action for action in actions() if is_held_out(action, _DEV_SHARE) == (split == "dev"))


def _draw_action(draw: Draw, split: Split) -> Action:
    """An action of the grammar, or a composed one."""
    if draw.chance(0.55):
        return draw.pick(_actions_of(split))
    while True:
        action = composed_action(draw)
        if is_held_out(action, _DEV_SHARE) == (split == "dev"):
            return action


@cache
def _neighbours(action: Action, split: Split) -> tuple[Action, ...]:
    return tuple(other for other in _actions_of(split)
                 if other is not action and (other.domain == action.domain or shares_words(action, other)))


def _distractors(draw: Draw, tools: list[DrawnTool], split: Split, count: int) -> list[DrawnTool]:
    """Other tools, near misses first: of the same domain or about the same thing."""
    names = {tool.name for tool in tools}
    used = {tool.action for tool in tools}
    found: list[DrawnTool] = []
    known = _actions_of(split)
    near: list[Action] = []
    for tool in tools:
        near += _neighbours(tool.action, split) if tool.action in known else near_misses(draw, tool.action, count)
    for _ in range(count * 3):
        if len(found) == count:
            break
        action = draw.pick(near) if near and draw.chance(0.7) else _draw_action(draw, split)
        if action in used:
            continue
        used.add(action)
        tool = draw_tool(draw, action)
        if tool.name not in names:
            names.add(tool.name)
            found.append(tool)
    return found


def _offer(draw: Draw, needed: list[DrawnTool], split: Split, count: int) -> list[DrawnTool]:
    return draw.shuffled([*needed, *_distractors(draw, needed, split, count)])


def _num_distractors(draw: Draw) -> int:
    return 0 if draw.chance(0.5) else draw.between(1, 4) if draw.chance(0.75) else draw.between(4, 8)


Lesson = Callable[[Draw, Split], tuple[list[DrawnTool], Conversation]]


def _single(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    tool = draw_tool(draw, _draw_action(draw, split))
    given = requests.choose_values(draw, tool)
    talk = Conversation(draw)
    talk.user(requests.say_request(draw, tool, given))
    talk.call([(tool, given)])
    return _offer(draw, [tool], split, _num_distractors(draw)), talk


def _parallel(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    tool = draw_tool(draw, _draw_action(draw, split))
    count = 2 if draw.chance(0.6) else draw.between(3, 4)
    first = requests.choose_values(draw, tool, optional_rate=0.2) or requests.choose_values(draw, tool, optional_rate=1)
    given_parameters = [p for p in tool.parameters if p.name in first]
    varying = {p.name for p in given_parameters}
    if len(given_parameters) > 1 and draw.chance(0.5):  # the others are said once, for all calls
        varying = {p.name for p in draw.sample([p for p in given_parameters if not p.kind.is_self_explaining] or given_parameters, 1)}
    givens = [first]
    for _ in range(count - 1):
        given = {p.name: p.kind.sample(draw) if p.name in varying else first[p.name] for p in given_parameters}
        if all(requests.arguments_of(given) != requests.arguments_of(other) for other in givens):
            givens.append(given)
    talk = Conversation(draw)
    talk.user(_say_parallel(draw, tool, givens, varying))
    talk.call([(tool, given) for given in givens])
    return _offer(draw, [tool], split, _num_distractors(draw)), talk


def _say_parallel(draw: Draw, tool: DrawnTool, givens: list[dict[str, Said]], varying: set[str]) -> list[Piece]:
    """One request for several calls of one tool."""
    shared = {name: said for name, said in givens[0].items() if name not in varying}
    if not shared and draw.chance(0.25):  # each call in a sentence of its own
        pieces: list[Piece] = []
        for number, given in enumerate(givens):
            pieces += [draw.pick((" ", " Also, ", " And ")) if number else "", *requests.say_request(draw, tool, given, number)]
        return pieces
    opening = requests.open_request(draw, tool, givens[0], 0, allow_inside=False)
    joiner = draw.pick((" and also", ", and then", " and", "; then", " as well as", " and finally"))
    only = next((p for p in tool.parameters if p.name in varying), None)
    if only is not None and len(varying) == 1 and only.kind.schema["type"] != "array" and draw.chance(0.75):  # "in Paris, Rome and Oslo"
        items = [requests.value_pieces(only, given[only.name], number) for number, given in enumerate(givens)]
        listed = requests.join_items(draw, items)
        body = requests.hang(draw, only, listed, len(givens))
    else:
        body = []
        form = draw.between(0, 4)
        for number, given in enumerate(givens):
            part = {name: said for name, said in given.items() if name in varying}
            body += ["" if not number else joiner if number == len(givens) - 1 else ",", *requests.say_values(draw, tool, part, number, form=form)]
    common = requests.say_values(draw, tool, shared, -1)
    if draw.chance(0.5) and shared:
        return [*opening.before, *common, *body, opening.after]
    return [*opening.before, *body, *(["," if draw.chance(0.3) else "", *common] if shared else []), opening.after]


def _several(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    count = 2 if draw.chance(0.65) else 3
    tools: list[DrawnTool] = []
    for _ in range(count):
        tool = draw_tool(draw, _draw_action(draw, split))
        if all(tool.name != other.name for other in tools):
            tools.append(tool)
    calls = [(tool, requests.choose_values(draw, tool, optional_rate=0.2)) for tool in tools]
    pieces: list[Piece] = []
    joiner = draw.pick((" Also, ", " Then, ", " And ", " After that, ", " "))
    for number, (tool, given) in enumerate(calls):
        said = requests.say_request(draw, tool, given, number)
        pieces += [joiner if number else "", *said]
    talk = Conversation(draw)
    talk.user(pieces)
    talk.call(calls)
    return _offer(draw, tools, split, _num_distractors(draw)), talk


def _missing(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    tool = draw_tool(draw, _draw_action(draw, split))
    given = requests.choose_values(draw, tool, optional_rate=0.15)
    required = [p for p in tool.parameters if p.is_required]
    left_out = draw.sample(required, 1 if draw.chance(0.8) else 2)
    if not left_out:
        return _single(draw, split)
    talk = Conversation(draw)
    partly = {name: said for name, said in given.items() if all(p.name != name for p in left_out)}
    talk.user(requests.say_request(draw, tool, partly))
    if len(left_out) == 1:
        talk.say("assistant", draw.pick(replies.ASK_ONE).format(left_out[0].label))
    else:
        talk.say("assistant", draw.pick(replies.ASK_MORE).format(" and ".join(f"the {p.label}" for p in left_out)))
    if draw.chance(0.4):
        pieces: list[Piece] = []
        for number, parameter in enumerate(left_out):
            pieces += [" and " if number else "", *requests.value_pieces(parameter, given[parameter.name], 0)]
        talk.user(pieces)
        talk.call([(tool, given)])
    return _offer(draw, [tool], split, _num_distractors(draw)), talk


def _none_fits(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    tool = draw_tool(draw, _draw_action(draw, split))
    given = requests.choose_values(draw, tool)
    talk = Conversation(draw)
    talk.user(requests.say_request(draw, tool, given))
    talk.say("assistant", draw.pick(replies.NO_TOOL))
    count = 1 if draw.chance(0.6) else draw.between(2, 5)
    return _distractors(draw, [tool], split, count) or [draw_tool(draw, _draw_action(draw, split))], talk


def _chat(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    talk = Conversation(draw)
    if draw.chance(0.6):
        said, reply = draw.pick(replies.SMALL_TALK)
        talk.say("user", said)
    else:
        question, answer, facts = draw.pick(replies.FACTS)
        fact = draw.pick(facts.split(";")).split("|")
        talk.say("user", question.format(*fact))
        reply = answer.format(*fact)
    talk.say("assistant", reply)
    return [draw_tool(draw, _draw_action(draw, split)) for _ in range(draw.between(1, 3))], talk


def _result(draw: Draw, tool: DrawnTool) -> tuple[dict[str, Any], str]:
    """What a tool may return, and the sentence that reports it."""
    thing = tool.action.object
    subject = thing.removeprefix("the ").removeprefix("a ").removeprefix("an ")
    if tool.action.family == "calc":
        value = draw.pick((draw.between(1, 9000), round(draw.random() * 900, draw.between(1, 3))))
        key = draw.pick(("result", "value", "answer", "_".join(subject.split()[:2])))
        return {key: value}, f"The {subject} is {value}."
    if tool.action.family in ("get", "search"):
        keys = draw.sample(w.NOUNS, draw.between(1, 3))
        payload = {key: draw.pick((draw.between(1, 900), draw.pick(w.ADJECTIVES), round(draw.random() * 90, 1))) for key in keys}
        told = " and ".join(f"the {humanise(key)} is {value}" for key, value in payload.items())
        return payload, told[0].upper() + told[1:] + "."
    reference = f"{draw.pick('ABCDEFGH')}{draw.between(100, 99999)}"
    return {"status": draw.pick(("ok", "success", "confirmed", "done")), "id": reference}, draw.pick(
        (f"Done. The reference is {reference}.", f"That worked, reference {reference}.", f"All set: {reference}."))


def _report(draw: Draw, split: Split) -> tuple[list[DrawnTool], Conversation]:
    tool = draw_tool(draw, _draw_action(draw, split))
    given = requests.choose_values(draw, tool)
    talk = Conversation(draw)
    talk.user(requests.say_request(draw, tool, given))
    talk.call([(tool, given)])
    if draw.chance(0.2):
        talk.say("tool", json.dumps({"error": draw.pick(("timeout", "service unavailable", "connection reset", "rate limit reached, retry"))}))
        talk.call([(tool, given)])
    if draw.chance(0.12):
        name = draw.pick(list(given)) if given else "request"
        talk.say("tool", json.dumps({"error": f"{name} not found"}))
        talk.say("assistant", f"That did not work: {humanise(name)} not found.")
    else:
        payload, told = _result(draw, tool)
        talk.say("tool", json.dumps(payload, ensure_ascii=False))
        talk.say("assistant", told)
    return _offer(draw, [tool], split, 0 if draw.chance(0.6) else draw.between(1, 3)), talk


LESSONS: tuple[tuple[str, float, Lesson], ...] = (
    ("single", 0.50, _single),
    ("parallel", 0.11, _parallel),
    ("several", 0.11, _several),
    ("missing", 0.07, _missing),
    ("none_fits", 0.10, _none_fits),
    ("chat", 0.03, _chat),
    ("report", 0.08, _report),
)


def synthetic_example(seed: int, index: int, *, split: Split = "train") -> Example:
    """Example `index` of the stream: a pure function of its arguments."""
    draw = Draw(seed if split == "train" else seed ^ 0x5DEECE66D, index)
    roll = draw.random()
    for kind, share, lesson in LESSONS:
        roll -= share
        if roll < 0:
            break
    while True:
        tools, talk = lesson(draw, split)
        if len({tool.name for tool in tools}) == len(tools):  # two tools may by chance be drawn with one name
            break
    date = None
    if any(p.kind.needs_today for tool in tools for p in tool.parameters) or draw.chance(0.2):
        date = draw.today.isoformat()
    return Example(source="synthetic", id=f"{split}-{seed}-{index}", kind=kind, tools=tuple(tool.as_dict() for tool in tools),
                   messages=tuple(talk.messages), date=date, evidence=talk.evidence)


def synthetic_examples(seed: int, start: int = 0, *, split: Split = "train") -> Iterator[Example]:
    """The endless stream from `start` on."""
    index = start
    while True:
        yield synthetic_example(seed, index, split=split)
        index += 1
