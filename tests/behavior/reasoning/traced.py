"""Sums worked out step by step, and who answers them: from the chain, or whatever it says.

The question names all that is to be added, so that it can be answered without its chain; a chain
has the running total. Whoever is asked is a function of the text that is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interp.behavior.generating.decoding import Reply
from interp.behavior.grading.lexicons import Lexicon
from interp.behavior.grading.replies import grade_replies
from interp.behavior.reasoning.chains import Chain
from interp.behavior.reasoning.rewording import NUMBER_WORDS
from interp.behavior.reasoning.trials import Trials
from interp.checkpoints import Checkpoint, LoadedModel
from interp.prompts import PromptSet
from tests.checkpoints.tiny import word_tokenizer

END = "</think>"
GRADE = partial(grade_replies, lexicon=Lexicon.load("en"))
TOKENIZER = word_tokenizer()
Answers = Callable[[str], str]
_WORDS = {word: str(number) for number, word in enumerate(NUMBER_WORDS)}


def record(name: str, text: str, answer: str, **more) -> dict:
    defaults = {"should_abstain": False, "dataset": "made up", "entity": None}
    return {"prompt_id": name, "text": text, "answers": [answer]} | defaults | more


def sums(n: int = 12, seed: int = 0) -> tuple[PromptSet, list[Chain]]:
    """Questions of 2 to 5 numbers above 20 whose sums differ, and their chains."""
    rng = np.random.default_rng(seed)
    records, chains = [], []
    for item in range(n):
        numbers = [100 * (item + 1), *(21 + rng.integers(50, size=1 + item % 4)).tolist()]
        total, steps = numbers[0], [f"We have {numbers[0]} to begin with."]
        for number in numbers[1:]:
            steps.append(f"We add {number} and so the total is {total + number}.")
            total += number
        question = f"q : what is {' + '.join(map(str, numbers))} ?"
        records.append(record(f"s{item}", question, str(total)))
        chains.append(Chain.of(f"s{item}", steps, str(total)))
    return PromptSet.from_records(records), chains


def read(text: str) -> tuple[list[int], str, bool]:
    """What is to be added, the chain so far, and whether it is over."""
    question, _, behind = text.partition("?")
    chain, over, _ = behind.partition(END)
    return [int(number) for number in re.findall(r"\d+", question)], chain, bool(over)


def carrier(text: str) -> str:
    """Takes the chain's last total, goes on from there if it may, and knows nothing without one."""
    numbers, chain, over = read(text)
    words = [_WORDS.get(word, word) for word in re.findall(r"\w+", chain)]
    totals = [int(word) for word in words if word.isdigit()]
    if over:
        return f"It is {totals[-1]}." if totals else "I don't know."
    return f"It is {totals[-1] + sum(numbers[1 + chain.count('add') :])}."


def decorator(text: str) -> str:
    """Adds up the question's numbers, whatever the chain says."""
    return f"It is {sum(read(text)[0])}."


def abstainer(text: str) -> str:
    """Never answers."""
    return "I don't know."


def wording(text: str) -> str:
    """Right only while the chain has the very words that it was written in."""
    return decorator(text) if "to begin with" in text else "It is 1."


def said(asked: Trials, answers: Answers) -> list[Reply]:
    """What is answered to trials."""
    return [
        Reply(trial, 0, answer, answer, (0,), "end", None, False)
        for trial, answer in zip(
            asked.frame["trial_id"], map(answers, asked.prompts.frame["text"]), strict=True
        )
    ]


def yes_no_model(folder: Path, *, reads_chain: bool) -> LoadedModel:
    """Says yes once it has read "up", no otherwise, and then ends.

    One block whose attention is even over all words, hands on the first of four dimensions, and is
    cut off in the model that does not read its chain, which always says yes.
    """
    words = ["<pad>", "<eos>", "q", "?", "up", "so", "...", "over", "yes", "no"]
    vocab = {word: n for n, word in enumerate(words)} | {"<unk>": len(words)}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocab), hidden_size=4, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=40,
        tie_word_embeddings=False, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    first = torch.zeros(4, 4)
    first[0, 0] = 1
    with torch.no_grad():
        block = model.model.layers[0]
        for part in (block.self_attn.q_proj, block.self_attn.k_proj, block.mlp.down_proj):
            part.weight.zero_()
        block.self_attn.v_proj.weight.copy_(first)
        block.self_attn.o_proj.weight.copy_(first * float(reads_chain))
        embedding = model.model.embed_tokens.weight
        embedding.zero_()
        embedding[:, 1] = 1
        embedding[vocab["up"], 0] = 3
        embedding[vocab["over"], 0] = 0 if reads_chain else 1
        embedding[[vocab["yes"], vocab["no"]], 2] = 5
        model.lm_head.weight.zero_()
        model.lm_head.weight[vocab["yes"], 0] = 8
        model.lm_head.weight[vocab["no"]] = torch.tensor([-8.0, 0.5, 0, 0])
        model.lm_head.weight[vocab["<eos>"]] = torch.tensor([0.0, -5, 20, 0])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Checkpoint(folder, "carrier" if reads_chain else "decorator").load()


def yes_no_items(n: int = 6) -> tuple[PromptSet, list[Chain]]:
    """Chains of 2 to 4 steps, of which only the last has a word that counts."""
    prompts = PromptSet.from_records([record(f"y{i}", "q ?", "yes") for i in range(n)])
    chains = [Chain.of(f"y{i}", [*["so so"] * (1 + i % 3), "so up"], "yes") for i in range(n)]
    return prompts, chains
