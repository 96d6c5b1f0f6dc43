"""From an order to a program: the conversation is fitted and rendered for the backbone that will read it.

Runs on the engine's worker thread, when the turn has its place.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..prompt import Prompt, fit_history
from .confidence import PlainConfidence, ReadsConfidence, confidence_of
from .head_fill.loaded import LoadedHeads
from .head_fill.settings import DenoiseSettings
from .sampling import Sampling
from .turn import TurnRequest, turn_program
from .verify import most_ahead
from .view import BackboneView

if TYPE_CHECKING:
    from ..messages import Turn
    from ..turn_engine import OnEvent, TurnOrder
    from .backbone import Backbone
    from .program import Program

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

# The part of a backbone's positions that a prompt leaves to the reply, unless max_tokens is less.
_REPLY_SHARE = 4


class TurnStarter:
    """Starts the programs of one engine; remembers what it worked out about the backbone."""

    def __init__(
        self,
        confidence: ReadsConfidence | None = None,
        heads: Callable[[], LoadedHeads | None] = lambda: None,
    ) -> None:
        """Know nothing yet.

        Args:
            confidence: says how sure we are of a call, in place of the heads.
            heads: those of the backbone, asked for when that is loaded.
        """
        self._heads = heads
        self._given = confidence
        self._confidence: ReadsConfidence = PlainConfidence()
        self._backbone: Backbone | None = None
        self._view: BackboneView | None = None
        self._has_warned = False

    def turn(
        self, order: TurnOrder, ordered_at: float, backbone: Backbone, on_event: OnEvent
    ) -> Program[Turn]:
        """A program that makes the turn.

        Args:
            order: what was ordered.
            ordered_at: when, on `time.perf_counter`.
            backbone: what will read it.
            on_event: told what happens.

        Raises:
            PromptTooLongError: what must stay of the conversation does not fit.
        """
        started = time.perf_counter()
        view = self.view(backbone)
        prompt = rendered(order, backbone)
        deployment = order.deployment
        request = TurnRequest(
            prompt_ids=prompt.ids,
            messages=order.messages,
            tools=order.tools,
            tool_choice=order.tool_choice,
            is_parallel=deployment.max_parallel_calls > 1,
            max_calls=deployment.max_parallel_calls,
            max_tokens=min(deployment.max_tokens, backbone.max_positions - len(prompt.ids)),
            max_slot_tokens=min(deployment.max_slot_tokens, deployment.max_tokens),
            fill=deployment.fill,
            max_ahead=self._max_ahead(backbone) if deployment.fill == "verified" else 0,
            denoise=DenoiseSettings.of(deployment),
            copyable=tuple(span.tokens for span in prompt.message_spans if span.tokens[0] < span.tokens[1]),
            sampling=Sampling(
                temperature=deployment.temperature, top_p=deployment.top_p, seed=deployment.seed
            ),
            stop=order.stop,
            is_thinking=prompt.is_thinking,
            think_budget_tokens=deployment.think_budget_tokens,
            call_bias=deployment.call_bias,
            abstain_below=deployment.abstain_below,
            top_logprobs=order.top_logprobs,
            is_traced=order.is_traced,
            confidence=self._confidence,
            queue_ms=1000 * (started - ordered_at),
            prompt_ms=1000 * (time.perf_counter() - started),
        )
        return turn_program(request, view, on_event)

    def prompt(self, order: TurnOrder, backbone: Backbone, on_event: OnEvent) -> Program[Prompt]:
        """A program that reads nothing and gives the prompt."""
        return _at_once(rendered(order, backbone))

    def warm_up(self, backbone: Backbone, on_event: OnEvent) -> Program[None]:
        """A program that reads nothing; the view is worked out."""
        self.view(backbone)
        return _at_once(None)

    def _max_ahead(self, backbone: Backbone) -> int:
        max_ahead = most_ahead(backbone.batch_rule)
        if not max_ahead and not self._has_warned:
            self._has_warned = True
            log.warning(
                "fill='verified' is off: on this device rows that are read together do not keep their bits; "
                "calls are written token by token, as with fill='autoregressive'"
            )
        return max_ahead

    def view(self, backbone: Backbone) -> BackboneView:
        """The tokens of a backbone, worked out once."""
        if self._view is None or self._backbone is not backbone:
            heads = self._heads()
            bundle = None if heads is None else heads.bundle
            self._confidence = confidence_of(bundle) if self._given is None else self._given
            self._view = BackboneView.from_tokenizer(
                backbone.tokenizer,
                backbone.prompt_format,
                vocab_size=backbone.vocab_size,
                heads=heads if backbone.taps else None,
            )
            self._backbone = backbone
        return self._view


def rendered(order: TurnOrder, backbone: Backbone) -> Prompt:
    """The prompt of an order, without the oldest messages when they do not fit.

    Raises:
        PromptTooLongError: what must stay does not fit.
    """
    layout: dict[str, Any] = {
        "format": backbone.prompt_format,
        "tokenizer": backbone.tokenizer,
        "date": _date_of(order.deployment.date),
        "think": order.deployment.think,
    }
    reply_tokens = min(order.deployment.max_tokens, backbone.max_positions // _REPLY_SHARE)
    max_tokens = backbone.max_positions - reply_tokens
    return fit_history(order.messages, order.tools, max_tokens=max_tokens, **layout).prompt


def _date_of(date: str | None) -> datetime.date | None:
    if date is None:
        return None
    return datetime.date.today() if date == "today" else datetime.date.fromisoformat(date)


def _at_once(outcome: Outcome) -> Program[Outcome]:
    return outcome
    yield  # makes this a program
