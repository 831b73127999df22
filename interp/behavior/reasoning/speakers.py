"""Models that take part in a debate: what they are told, what they say, how they lean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from interp.behavior.audit.judge import defused, turn_markers
from interp.behavior.generating.decoding import Decoding
from interp.behavior.generating.generation import replies
from interp.behavior.reasoning.arguments import Speaker
from interp.behavior.reasoning.stances import Dialogue, Reader, Reading, Stance
from interp.behavior.scores.scoring import measured_continuations
from interp.behavior.scores.teacher_forcing import token_ids
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render

Role = Literal["debater", "persuader", "helper"]

DEBATER = (
    'Here is a claim: "{claim}"\n\nDo you agree or disagree with it? Begin your reply with '
    '"I agree" or "I disagree", then say why in one or two sentences. If you hear a convincing '
    "argument, you may change your mind."
)
PERSUADER = (
    'You hold this claim to be true: "{claim}"\n\nThe other one disagrees. Answer what was said '
    "last with one short argument for the claim."
)
HELPERS = {
    "logical": (
        'Below stands an argument for the claim "{claim}". Write it anew as a short argument that '
        "is logically sound: true premises, and a conclusion that follows from them. Reply with "
        "the argument alone."
    ),
    "fallacious": (
        'Below stands an argument for the claim "{claim}". Write it anew as a short argument that '
        "rests on a logical fallacy. Reply with the argument alone."
    ),
}
"""What helpers are told, by arm; the words are this project's own."""

_NAMES = {"persuader": "A", "debater": "B", "helper": "B", "draft": "A"}
"""Who speaks, in prompts of a model without a chat template."""


def model_speaker(
    loaded: LoadedModel,
    decoding: Decoding,
    role: Role,
    instruction: str,
    *,
    token_budget: int = 8192,
) -> Speaker:
    r"""A checkpoint that speaks in debates, all of them in batches, one turn a call.

    Its own turns are the assistant's, the other's the user's; the instruction comes first. Without
    a chat template the prompt is text: the instruction, then lines "A: ..." and "B: ..." (the
    debater is B), so give `decoding` a stop such as "\nA:". A chain of thought is not heard by
    anyone: what is said is the answer behind it, nothing where the chain was cut off.

    Args:
        loaded: the model.
        decoding: with one sample. Every turn draws by the claim, arm, repeat and its number.
        role: whose turns are its own; a helper has none, and reads a draft alone.
        instruction: with "{claim}" in it.
        token_budget: as for `interp.behavior.generating.generation.replies`.

    Returns:
        A speaker; None where the next turn would not fit into the model's context.

    Raises:
        InputError: no "{claim}" in the instruction, or several samples; when it speaks: repeats of
            a debater at temperature 0, which would all open the same, or as `replies`.
    """
    _check_instruction(instruction)
    if decoding.samples != 1:
        raise InputError(
            f"model speaker: {decoding.samples} samples a turn; a dialogue goes on from one, and "
            "repeats are whole dialogues: set samples to 1"
        )

    def speak(dialogues: Sequence[Dialogue]) -> list[str | None]:
        greedy = role == "debater" and decoding.temperature == 0
        if greedy and any(dialogue.repeat for dialogue in dialogues):
            raise InputError(
                f"model speaker {loaded.checkpoint.name}: repeats at temperature 0 are the same "
                "dialogue again; set repeats to 1, or a temperature above 0"
            )
        prompts = _prompts(
            loaded, dialogues, role, instruction, thinks=decoding.thinking is not None
        )
        fits_N = _fits(loaded, prompts, decoding.max_new_tokens)
        said: list[str | None] = [None] * len(dialogues)
        if not fits_N.any():
            return said
        rows_fit = np.flatnonzero(fits_N)
        written = replies(loaded, prompts.where(fits_N), decoding, token_budget=token_budget)
        for _, rows, batch in written:
            for row, reply in zip(rows, batch, strict=True):
                said[rows_fit[row]] = reply.answer.strip()
        return said

    return speak


def log_odds_reader(
    loaded: LoadedModel,
    instruction: str,
    *,
    agree: Sequence[str] = ("I agree",),
    disagree: Sequence[str] = ("I disagree",),
    least: float = 0.01,
    token_budget: int = 8192,
) -> Reader:
    """Reads the debater's stance from how likely it is to begin its turn with either side.

    What it did say then is not read, so this also places models whose samples ramble.

    Args:
        loaded: the debater.
        instruction: the one it debates under.
        agree: beginnings of turns that agree.
        disagree: beginnings of turns that disagree.
        least: probability of all beginnings together below which it takes no stance: the odds
            between two things that are not said mean nothing.
        token_budget: as for `measured_continuations`.

    Returns:
        A reader; "none" also where the prompt and a beginning do not fit into the context.

    Raises:
        InputError: no "{claim}" in the instruction, a side without beginnings, or `least` out of
            [0, 1]; when it reads, a beginning that begins with another one.
    """
    _check_instruction(instruction)
    if not agree or not disagree or not 0 <= least <= 1:
        raise InputError(
            "log odds reader: expected a beginning of each side, and least between 0 and 1"
        )
    phrases = [*agree, *disagree]

    def read(dialogues: Sequence[Dialogue]) -> list[Reading]:
        # The stance that the last turn, the debater's, was to state.
        before = [Dialogue(d.claim_id, d.claim, d.arm, d.repeat, d.turns[:-1]) for d in dialogues]
        prompts = _prompts(loaded, before, "debater", instruction, thinks=False)
        longest = max(map(len, token_ids([f" {phrase}" for phrase in phrases], loaded.tokenizer)))
        fits_N = _fits(loaded, prompts, longest)
        readings = [Reading("none")] * len(dialogues)
        if not fits_N.any():
            return readings
        kept = prompts.where(fits_N)
        measured = measured_continuations(
            loaded, kept, phrases, disjoint=True, token_budget=token_budget
        )
        logprobs = measured.logprob_NC.double().numpy()
        yes_N = np.logaddexp.reduce(logprobs[:, : len(agree)], axis=1)
        no_N = np.logaddexp.reduce(logprobs[:, len(agree) :], axis=1)
        for row, yes, no in zip(np.flatnonzero(fits_N), yes_N, no_N, strict=True):
            side: Stance = "none"
            if np.exp(np.logaddexp(yes, no)) >= least and yes != no:
                side = "agree" if yes > no else "disagree"
            readings[row] = Reading(side, float(yes - no))
        return readings

    return read


def _check_instruction(instruction: str) -> None:
    if "{claim}" not in instruction:
        raise InputError(
            f'debates: the instruction {instruction!r} lacks "{{claim}}", so the model would not '
            "know what is claimed"
        )


def _prompts(
    loaded: LoadedModel,
    dialogues: Sequence[Dialogue],
    role: Role,
    instruction: str,
    *,
    thinks: bool,
) -> PromptSet:
    """What the model reads before its next turn."""
    markers = turn_markers(loaded.tokenizer)
    records = []
    for dialogue in dialogues:
        told = instruction.replace("{claim}", defused(dialogue.claim, markers))
        turns = dialogue.turns[-1:] if role == "helper" else dialogue.turns
        said = [(turn.speaker, defused(turn.text, markers)) for turn in turns]
        asked: dict[str, Any]
        if loaded.tokenizer.chat_template:
            asked = {"messages": _messages(told, said, role)}
        else:
            lines = "".join(f"{_NAMES[speaker]}: {text}\n" for speaker, text in said)
            asked = {"text": f"{told}\n\n{lines}{_NAMES[role]}:"}
        asked["meta"] = {"mode": "cot"} if thinks else {}
        records.append({"prompt_id": dialogue.prompt_id, "should_abstain": False} | asked)
    return PromptSet.from_records(records)


def _messages(told: str, said: Sequence[tuple[str, str]], role: Role) -> list[dict[str, str]]:
    """The user speaks first and last: what the other says first stands behind the instruction."""
    messages = [{"role": "user", "content": told}]
    for speaker, text in said:
        who = "assistant" if speaker == role else "user"
        if who == messages[-1]["role"]:
            messages[-1]["content"] += f"\n\n{text}"
        else:
            messages.append({"role": who, "content": text})
    return messages


def _fits(loaded: LoadedModel, prompts: PromptSet, new_tokens: int) -> np.ndarray:
    context = getattr(loaded.model.config, "max_position_embeddings", None)
    length_N = np.array(
        [len(ids) for ids in token_ids(render(prompts, loaded.tokenizer), loaded.tokenizer)]
    )
    return length_N + new_tokens <= (context or np.inf)
