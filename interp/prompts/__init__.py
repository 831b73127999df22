"""What is asked: prompt sets, how they become tokens, and which token is meant."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CHAIN_END": "spans",
        "check_disjoint": "splits",
        "column_of": "targets",
        "content_groups": "overlap",
        "Controls": "controls",
        "encode": "encoding",
        "Encoded": "encoding",
        "irrelevant_clause_controls": "controls",
        "irrelevant_clauses": "clauses",
        "length_control": "controls",
        "length_matched": "matching",
        "levels_of": "targets",
        "overlap_table": "overlap",
        "PromptSet": "promptset",
        "read_prompts": "files",
        "render": "encoding",
        "resolve": "positions",
        "show": "positions",
        "split": "splits",
        "Target": "targets",
        "targets_of": "targets",
        "token_budget_batches": "encoding",
    },
)
