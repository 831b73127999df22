"""Passages of a folder of texts, found by the words of a query: BM25, nothing but counts.

Source: Robertson & Zaragoza 2009, with the inverse document frequency that is never negative
(Lucene): idf(w) = log(1 + (N - n_w + 1/2) / (n_w + 1/2)) and

    score(d) = sum over the query's words of idf(w) f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|))

with f the times that w stands in d.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

from interp.errors import InputError
from interp.prompts.words import words_of

SUFFIXES = (".txt", ".md")


@dataclass(frozen=True)
class Passage:
    """A piece of a reference text.

    Attributes:
        passage_id: where it stands, e.g. "biology/cells.txt#3".
        text: what it says.
    """

    passage_id: str
    text: str


class BM25:
    """Retrieves passages by their words.

    Attributes:
        passages: all there are.
        k1: how soon a word that comes often adds no more, at least 0; not kept.
        b: how much long passages are held back, from 0 to 1; not kept.
    """

    def __init__(self, passages: Sequence[Passage], *, k1: float = 1.5, b: float = 0.75) -> None:
        if not passages or k1 < 0 or not 0 <= b <= 1:
            raise InputError(
                f"BM25: {len(passages)} passages, k1={k1}, b={b}; expected passages, k1 of at "
                "least 0 and b from 0 to 1"
            )
        self.passages = tuple(passages)
        counts = [Counter(words_of(passage.text)) for passage in passages]
        lengths = [counted.total() for counted in counts]
        mean = sum(lengths) / len(lengths) or 1.0
        self._weight: dict[str, dict[int, float]] = defaultdict(dict)
        for number, (counted, length) in enumerate(zip(counts, lengths, strict=True)):
            for word, f in counted.items():
                norm = k1 * (1 - b + b * length / mean)
                self._weight[word][number] = f * (k1 + 1) / (f + norm)
        for found in self._weight.values():
            rarity = log(1 + (len(passages) - len(found) + 0.5) / (len(found) + 0.5))
            for number in found:
                found[number] *= rarity

    def scores(self, query: str) -> dict[int, float]:
        """Score of each passage that shares a word with the query, by its number."""
        total: dict[int, float] = defaultdict(float)
        for word, times in Counter(words_of(query)).items():
            for number, weight in self._weight.get(word, {}).items():
                total[number] += times * weight
        return dict(total)

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """The k best passages, the earlier one first where two are as good; fewer if fewer fit.

        Args:
            query: words to look for; those in no passage are ignored.
            k: most passages.
        """
        ranked = sorted(self.scores(query).items(), key=lambda found: (-found[1], found[0]))
        return [self.passages[number] for number, _ in ranked[:k]]


def folder_retriever(folder: Path, *, k1: float = 1.5, b: float = 0.75) -> BM25:
    """BM25 over the paragraphs of all texts in a folder and those in it.

    Args:
        folder: holds .txt and .md files in UTF-8; a blank line parts paragraphs.
        k1: how soon more of the same word counts no more.
        b: how much long passages are held back, from 0 to 1.

    Raises:
        InputError: no such folder, no text in it, a file that is not UTF-8 (it is named), or `k1`
            or `b` out of range.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one with {' or '.join(SUFFIXES)} files")
    passages = []
    for path in sorted(
        one for one in folder.rglob("*") if one.is_file() and one.suffix in SUFFIXES
    ):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
        parts = ["\n".join(part) for part in _paragraphs(text)]
        name = path.relative_to(folder).as_posix()
        passages += [Passage(f"{name}#{n}", part) for n, part in enumerate(parts, start=1)]
    if not passages:
        raise InputError(f"{folder}: no text in {' or '.join(SUFFIXES)} files; put some there")
    return BM25(passages, k1=k1, b=b)


def _paragraphs(text: str) -> list[list[str]]:
    """Lines of each paragraph."""
    parts: list[list[str]] = [[]]
    for line in map(str.strip, text.splitlines()):
        if line:
            parts[-1].append(line)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
