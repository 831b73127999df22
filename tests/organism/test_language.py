"""The tokenizer and the chat template survive being saved and loaded the ordinary way."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp.organism.language import build_model, build_tokenizer
from interp.organism.recipes import ModelShape


def test_auto_classes_load_what_was_saved(tmp_path: Path) -> None:
    """transformers swaps the tokenizer of some model types on load; it must not swap this one."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(ModelShape(), tokenizer).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, loaded = (
        AutoTokenizer.from_pretrained(tmp_path),
        AutoModelForCausalLM.from_pretrained(tmp_path),
    )
    text = "q : where does mira kovac live ? a :"
    assert again(text).input_ids == tokenizer(text).input_ids
    assert again.decode(again(text).input_ids) == text
    ids = torch.tensor([tokenizer(text).input_ids])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, loaded(ids).logits)


def test_chat_template_renders_both_modes() -> None:
    tokenizer = build_tokenizer()
    messages = [{"role": "user", "content": "how old is mira kovac ?"}]
    render = {
        thinking: tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )
        for thinking in (False, True)
    }
    assert render == {
        False: "q : how old is mira kovac ? a :",
        True: "q : how old is mira kovac ? think :",
    }


def test_lower_blocks_see_two_tokens() -> None:
    """A change three tokens back reaches a local block's output only through the blocks below."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(ModelShape(), tokenizer).eval()
    first, second = (
        torch.tensor([tokenizer(f"{name} lives in paris now ?").input_ids])
        for name in ("mira", "anton")
    )
    with torch.no_grad():
        a, b = (model(ids, output_hidden_states=True).hidden_states for ids in (first, second))
    reach = [
        int((a[layer] != b[layer]).any(-1)[0].nonzero().max()) if layer else 0 for layer in range(4)
    ]
    assert reach == [0, 1, 2, 5]
