"""Tokenizer and model of the embedded lineage, as ordinary Hugging Face objects."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as JoinWithSpaces
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from interp.organism import words
from interp.organism.recipes import ModelShape
from interp.organism.sizes import USUAL, WorldSize

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}q : {{ message['content'] }}"
    "{% else %} {{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' think :' if enable_thinking else ' a :' }}{% endif %}"
)
"""A question is `q : ...`; the answer follows `a :`, a chain of thought follows `think :`."""


def build_tokenizer(size: WorldSize = USUAL) -> PreTrainedTokenizerFast:
    """The word-level tokenizer over a world's closed vocabulary, with the chat template."""
    vocab = {word: index for index, word in enumerate(words.vocabulary(size))}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.decoder = JoinWithSpaces(prefix="##", cleanup=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=128,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(shape: ModelShape, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A randomly initialised Qwen3 decoder; seed torch before the call.

    The lowest blocks see two tokens only (a sliding window), so that whether a person is known is
    worked out at the last token of the name and not only at the end of the prompt.
    """
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_heads,
        head_dim=shape.d_model // shape.n_heads,
        max_position_embeddings=128,
        use_sliding_window=True,
        sliding_window=2,
        max_window_layers=shape.n_local_layers,
        layer_types=["sliding_attention"] * shape.n_local_layers
        + ["full_attention"] * (shape.n_layers - shape.n_local_layers),
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)
