"""Published methods behind the tables of a study, as entries to copy into a BibTeX file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One published work.

    Attributes:
        key: to cite it by.
        authors, year, title: as printed.
        place: "arXiv:NUMBER", or where it appeared.
        tables: whose numbers are computed as it says.
    """

    key: str
    authors: str
    year: int
    title: str
    place: str
    tables: frozenset[str]

    @property
    def link(self) -> str:
        """Its page on arXiv; "" for what is not there."""
        kind, _, number = self.place.partition(":")
        return f"https://arxiv.org/abs/{number}" if kind == "arXiv" else ""

    @property
    def bibtex(self) -> str:
        """The entry."""
        where = f"eprint = {{{self.place.partition(':')[2]}}},\n  archivePrefix = {{arXiv}}"
        return (
            f"@misc{{{self.key},\n  author = {{{self.authors}}},\n  year = {{{self.year}}},\n"
            f"  title = {{{{{self.title}}}}},\n"
            f"  {where if self.link else f'howpublished = {{{self.place}}}'}\n}}"
        )


def works_of(tables: Iterable[str]) -> list[Work]:
    """The works behind the tables that are there, by key."""
    there = set(tables)
    return sorted((work for work in WORKS if work.tables & there), key=lambda work: work.key)


def _work(key: str, authors: str, year: int, title: str, place: str, tables: str) -> Work:
    return Work(key, authors, year, title, place, frozenset(tables.split()))


_PROBED = "probes probes_selected transfer preservation"
_REPLIES = "behavior abstention kinds detection"
WORKS = (
    _work("kirichenko2025abstentionbench", "Kirichenko, Polina and others", 2025,
          "AbstentionBench: Reasoning LLMs Fail on Unanswerable Questions", "arXiv:2506.09038",
          _REPLIES),
    _work("guo2017calibration", "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian",
          2017, "On Calibration of Modern Neural Networks", "arXiv:1706.04599",
          "reliability calibration"),
    _work("geifman2017selective", "Geifman, Yonatan and El-Yaniv, Ran", 2017,
          "Selective Classification for Deep Neural Networks", "arXiv:1705.08500",
          "risk_coverage calibration"),
    _work("hewitt2019control", "Hewitt, John and Liang, Percy", 2019,
          "Designing and Interpreting Probes with Control Tasks", "arXiv:1909.03368", "probes"),
    _work("westfall1993resampling", "Westfall, Peter H. and Young, S. Stanley", 1993,
          "Resampling-Based Multiple Testing", "Wiley", "probes probes_selected"),
    _work("schuirmann1987tost", "Schuirmann, Donald J.", 1987,
          "A comparison of the two one-sided tests procedure and the power approach for assessing "
          "the equivalence of average bioavailability",
          "Journal of Pharmacokinetics and Biopharmaceutics 15", "preservation"),
    _work("marks2023geometry", "Marks, Samuel and Tegmark, Max", 2023,
          "The Geometry of Truth: Emergent Linear Structure in Large Language Model "
          "Representations of True/False Datasets", "arXiv:2310.06824",
          "transfer steering ablation"),
    _work("arditi2024refusal", "Arditi, Andy and others", 2024,
          "Refusal in Language Models Is Mediated by a Single Direction", "arXiv:2406.11717",
          "steering ablation repairs"),
    _work("deeb2024unlearning", "Deeb, Aghyad and Roger, Fabien", 2024,
          "Do Unlearning Methods Remove Information from Language Model Weights?",
          "arXiv:2410.08827", "relearn"),
    _work("lee2024conditional", "Lee, Bruce W. and others", 2024,
          "Programming Refusal with Conditional Activation Steering", "arXiv:2409.05907",
          "repairs"),
    _work("gao2024scaling", "Gao, Leo and others", 2024,
          "Scaling and evaluating sparse autoencoders", "arXiv:2406.04093",
          "dictionaries crosscoders"),
    _work("bussmann2024batchtopk", "Bussmann, Bart and Leask, Patrick and Nanda, Neel", 2024,
          "BatchTopK Sparse Autoencoders", "arXiv:2412.06410", "dictionaries crosscoders"),
    _work("ferrando2024entity", "Ferrando, Javier and others", 2024,
          "Do I Know This Entity? Knowledge Awareness and Hallucinations in Language Models",
          "arXiv:2411.14257", "features"),
    _work("paulo2025seeds", "Paulo, Gonçalo and Belrose, Nora", 2025,
          "Sparse Autoencoders Trained on the Same Data Learn Different Features",
          "arXiv:2501.16615", "features"),
    _work("minder2025crosscoders", "Minder, Julian and others", 2025,
          "Overcoming Sparsity Artifacts in Crosscoders to Interpret Chat-Tuning",
          "arXiv:2504.02922", "crosscoders feature_diff"),
    _work("lanham2023faithfulness", "Lanham, Tamera and others", 2023,
          "Measuring Faithfulness in Chain-of-Thought Reasoning", "arXiv:2307.13702",
          "early_answering early_curve perturbed filler"),
    _work("lobo2024finetuning", "Lobo, Elita and Agarwal, Chirag and Lakkaraju, Himabindu", 2024,
          "On the Impact of Fine-Tuning on Chain-of-Thought Reasoning", "arXiv:2411.15382",
          "early_answering perturbed"),
    _work("wu2025knowledge", "Wu, Juncheng and others", 2025,
          "Knowledge or Reasoning? A Close Look at How LLMs Think Across Domains",
          "arXiv:2506.02126", "information_gain knowledge_index"),
    _work("ghosal2025thinking", "Ghosal, Soumya Suvra and others", 2025,
          "Does Thinking More always Help? Understanding Test-Time Scaling in Reasoning Models",
          "arXiv:2506.04210", "budgets"),
    _work("wang2025thoughts", "Wang, Yue and others", 2025,
          "Thoughts Are All Over the Place: On the Underthinking of o1-Like LLMs",
          "arXiv:2501.18585", "underthinking decoding_rules"),
    _work("wu2025less", "Wu, Yuyang and others", 2025,
          "When More is Less: Understanding Chain-of-Thought Length in LLMs", "arXiv:2502.07266",
          "length"),
    _work("azizi2025compression", "Azizi, Seyedarmin and others", 2025,
          "Activation Steering for Chain-of-Thought Compression", "arXiv:2507.04742",
          "compression compression_kl"),
    _work("venhoff2025steering", "Venhoff, Constantin and others", 2025,
          "Understanding Reasoning in Thinking Language Models via Steering Vectors",
          "arXiv:2506.18167", "strategies strategy_steering strategy_cosines strategy_layers"),
    _work("venhoff2025base", "Venhoff, Constantin and others", 2025,
          "Base Models Know How to Reason, Thinking Models Learn When", "arXiv:2510.07364",
          "hybrid"),
)  # fmt: skip
