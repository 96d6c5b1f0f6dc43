"""The text of a model card: what the model is, what it was trained on, how it does, what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .recipe import BackboneRecipe

_LICENCES = """\
| source | licence | attribution |
|---|---|---|
| sgd | CC-BY-SA-4.0 | Rastogi et al., Schema-Guided Dialogue, Google |
| snips | CC0-1.0 | Coucke et al., SNIPS |
| nlu_eval | CC-BY-4.0 | Liu et al., Benchmarking NLU services |
| clinc150 | CC-BY-3.0 | Larson et al., CLINC150 |
| metatool | MIT | Huang et al., MetaTool |
| tm4 | CC-BY-4.0 | Byrne and Ganesh, Taskmaster-4, Google LLC |
| restaurants8k | CC-BY-4.0 | Coope et al., RESTAURANTS-8K, PolyAI |
| home_llm | MIT | Alex O'Connell |
| sealtools | Apache-2.0 | Wu et al., Seal-Tools |
| home_assistant_intents | CC-BY-4.0 | Home Assistant contributors |
| chatterbot | BSD-3-Clause | Gunther Cox |
| apibank, apibank_dialogs | Apache-2.0, MIT | Li et al., API-Bank, Alibaba Research; Hammer |
| glaive_sample | Apache-2.0 | Glaive AI; LLaMA-Factory |
| self_instruct | Apache-2.0 | Wang et al., Self-Instruct |
| rlla_sample | Apache-2.0, CC-BY-4.0 | Qian et al., ToolRL; Salesforce xLAM; Team-ACE |
| toolbench | Apache-2.0 | Qin et al., ToolLLM |
| nestful | Apache-2.0 | Basu et al., NESTFUL, IBM |
| toolalpaca | Apache-2.0 | Tang et al., ToolAlpaca; Hammer |
| pool of tool definitions | Apache-2.0, MIT | as above; Gorilla APIZoo; JSONSchemaBench (Glaive) |
"""


def model_card(
    recipe: BackboneRecipe,
    *,
    num_parameters: int,
    counters: Mapping[str, Any],
    last_metrics: Mapping[str, Any],
    evaluation: str,
) -> str:
    """The card of a backbone trained as `recipe` says."""
    values = {
        "parameters": f"{num_parameters / 1e6:.1f}M",
        "layers": recipe.architecture.num_layers,
        "hidden": recipe.architecture.hidden_size,
        "heads": recipe.architecture.num_heads,
        "kv_heads": recipe.architecture.num_kv_heads,
        "intermediate": recipe.architecture.intermediate_size,
        "muon_lr": recipe.optimizer.muon_lr,
        "adamw_lr": recipe.optimizer.adamw_lr,
        "batch": recipe.batch.tokens,
        "steps": counters.get("step", 0),
        "tokens": f"{counters.get('num_real_tokens', 0) / 1e6:.1f}M",
        "minutes": f"{counters.get('seconds', 0) / 60:.0f}",
        "device": "one GPU" if recipe.device == "cuda" else "two CPU cores",
        "loss": last_metrics.get("validation_loss", "not measured"),
        "preset": "gpu" if recipe.device == "cuda" else "cpu",
        "public": _public_text(recipe),
        "earlier": _EARLIER if recipe.begin_with else "",
        "licences": _LICENCES,
        "evaluation": evaluation or "Run `python -m training evaluate --model FOLDER --data synthetic`.",
    }
    return _CARD.format(**values)


def _public_text(recipe: BackboneRecipe) -> str:
    if not recipe.data.public:
        return "Composed conversations are all it read; the tokenizer's merges were also counted on the"
    share = recipe.data.public_share * (1 - recipe.data.sibling_share)
    return (
        f"About {share:.0%} of the rows it read are public conversations, most with other names for\n"
        "tools and parameters. They and the tokenizer's merges come from the"
    )


_EARLIER = (
    " The run went on from the weights\nof an earlier one (`begin_with`), whose tokens are not counted here."
)

_CARD = """\
---
license: cc-by-sa-4.0
library_name: transformers
pipeline_tag: text-generation
tags: [tool-calling, smollm3]
language: [en]
---

# The embedded backbone

A `SmolLM3ForCausalLM` of {parameters} parameters, trained from scratch to read tool listings and write tool
calls, small enough to answer on two CPU cores. It is made for `agent_runtime`, which constrains its calls to
the tools' schemas; it is no general language model.

## Recipe

{layers} layers of {hidden}, {heads} query and {kv_heads} key/value heads, feed-forward {intermediate}; every
fourth layer without rotary positions. Tokenizer: byte-level BPE with SmolLM3's control tokens that cuts a
word alike wherever it stands. Muon (rate {muon_lr}) for hidden matrices, AdamW ({adamw_lr}) for the rest, a
constant rate that falls at the end, loss on replies, {batch}-token batches. {steps} steps, {tokens} tokens
without padding, {minutes} minutes on {device}. Last loss on held-out composed conversations: {loss} nats a
reply token. Begin with `python -m training backbone --preset {preset}`.{earlier}

## Data

Conversations composed by the seeded generator in `training/data/synthetic`: tools whose names carry no
memory, values that must be copied or converted. {public}
train split of these sources, brought into one format. BFCL and ACEBench were not trained on.

{licences}
sgd is CC-BY-SA-4.0 (share alike), so the weights are offered under that licence too; the code is not.

## Figures

{evaluation}

## Limits

It knows almost nothing of the world and writes short formulaic sentences. It calls tools whose arguments
stand in the conversation; values that must be worked out, rare spellings, long texts, other languages than
English and long conversations are beyond it. Check what a call would do before running tools that cannot be
undone.
"""
