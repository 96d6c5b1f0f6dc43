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
    architecture = recipe.architecture
    public = (
        f"{recipe.data.public_share:.0%} public conversations of the sources below (their train split), the rest"
        if recipe.data.public
        else "no public conversations; all"
    )
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [tool-calling, smollm3]
language: [en]
---

# The embedded backbone

A `SmolLM3ForCausalLM` of {num_parameters / 1e6:.1f}M parameters, trained from scratch to read tool listings and write
tool calls, small enough to answer on two CPU cores. It is made for `agent_runtime`, which constrains its calls to the
tools' schemas; it is no general language model.

## Recipe

{architecture.num_layers} layers of {architecture.hidden_size}, {architecture.num_heads} query and \
{architecture.num_kv_heads} key/value heads, feed-forward {architecture.intermediate_size}; every fourth layer without
rotary positions. Tokenizer: byte-level BPE with SmolLM3's control tokens that cuts a word alike wherever it stands.
Muon (rate {recipe.optimizer.muon_lr}) for hidden matrices, AdamW ({recipe.optimizer.adamw_lr}) for the rest, loss on
replies, {recipe.batch.tokens}-token batches; {counters.get("step", 0)} steps, \
{counters.get("num_real_tokens", 0) / 1e6:.1f}M tokens without padding, \
{counters.get("seconds", 0) / 60:.0f} minutes on {"a GPU" if recipe.device == "cuda" else "two CPU cores"}. Last loss on \
held-out composed conversations: {last_metrics.get("validation_loss", "not measured")} a reply token.

Reproduce with `python -m training backbone --preset {"gpu" if recipe.device == "cuda" else "cpu"}`.

## Data

Conversations composed by the seeded generator in `training/data/synthetic` (composed tools, names that carry no
memory, values that must be copied or converted). Training read {public} composed. BFCL and ACEBench were
not trained on.

{_LICENCES if recipe.data.public else "The tokenizer's merges were counted on these public sources too:" + chr(10) * 2 + _LICENCES}
## Figures

{evaluation or "Run `python -m training evaluate --model FOLDER --data synthetic`."}

## Limits

It knows almost nothing of the world and writes short formulaic sentences. It calls tools whose arguments stand in the
conversation; values that must be worked out, rare spellings, long texts, other languages than English and long
conversations are beyond it. Check what a call would do before running tools that cannot be undone.
"""
