"""Is text read as the tokens that the checkpoint was trained on?"""

from __future__ import annotations

from interp.checkpoints import LoadedModel
from interp.prompts import Encoded, PromptSet, encode, render
from interp.selfcheck.line import Line

_SENTENCES = (
    "Who wrote it?",
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "I do not know when that happened.",
)


def texts_for(loaded: LoadedModel) -> list[str]:
    """Three texts of different lengths that the tokenizer knows all words of."""
    tokenizer = loaded.tokenizer
    known = all(tokenizer.unk_token_id not in tokenizer(text)["input_ids"] for text in _SENTENCES)
    if known or tokenizer.unk_token_id is None:
        texts = list(_SENTENCES)
    else:
        added = tokenizer.added_tokens_decoder
        ids = [index for index in sorted(tokenizer.get_vocab().values()) if index not in added]
        spread = [ids[len(ids) * n // 24] for n in range(24)]
        texts = [tokenizer.decode(spread[a:b]) for a, b in ((0, 4), (4, 21), (21, 24))]
    rows = [{"prompt_id": text, "text": text, "should_abstain": False} for text in texts]
    return render(PromptSet.from_records(rows), tokenizer)


def beginnings(loaded: LoadedModel, texts: list[str]) -> Line:
    """At most one beginning token, and in plain text as many as the tokenizer itself puts there."""
    name, tokenizer = "beginning token", loaded.tokenizer
    begin = tokenizer.bos_token_id
    if begin is None:
        return Line(name, True, "the tokenizer has none")
    plain = texts[0].removeprefix(tokenizer.bos_token)
    counts = {"plain text": _count(begin, encode(texts[:1], tokenizer))}
    if tokenizer.chat_template is not None:
        row = {"prompt_id": "chat", "messages": [{"role": "user", "content": plain}]}
        chat = render(PromptSet.from_records([row | {"should_abstain": False}]), tokenizer)
        counts["chat"] = _count(begin, encode(chat, tokenizer))
    found = ", ".join(f"{count} in {what}" for what, count in counts.items())
    own = tokenizer(plain)["input_ids"].count(begin)
    if max(counts.values()) > 1:
        return Line(name, False, f"{found}; expected at most one")
    if counts["plain text"] != own:
        return Line(name, False, f"{found}; the tokenizer itself puts {own} in plain text")
    return Line(name, True, found)


def _count(token: int, encoded: Encoded) -> int:
    return int((encoded.input_ids_BT == token).sum())


def round_trip(loaded: LoadedModel, texts: list[str]) -> Line:
    """Token ids to text and back, without special tokens, which decode as they please."""
    name, tokenizer = "tokens survive a round trip", loaded.tokenizer
    n_tokens = 0
    for text in texts:
        plain = text.removeprefix(tokenizer.bos_token or "")
        ids = tokenizer(plain, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        again = tokenizer(back, add_special_tokens=False)["input_ids"]
        if not ids or again != ids or tokenizer.unk_token_id in ids:
            tokens = tokenizer.convert_ids_to_tokens(ids)
            return Line(name, False, f"{plain!r} is read as {tokens} and comes back as {back!r}")
        n_tokens += len(ids)
    return Line(name, True, f"{n_tokens} tokens")
