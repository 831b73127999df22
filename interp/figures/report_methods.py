"""The methods paragraph of a report: sentences made from the configuration that was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from interp.figures.style import position_label

Tables = Mapping[str, pd.DataFrame]
Config = Mapping[str, Any]
_WAYS = {"direct": "for a direct answer", "cot": "for an answer after a chain of thought"}


def methods_of(run: Mapping[str, Any], tables: Tables) -> list[tuple[str, str]]:
    """Heading and sentences of everything that left a table, in the order it is done.

    Args:
        run: config, seed, code_version, run_id; and `rule` and `versions`, where it has them.
        tables: of the study.
    """
    config: Config = run["config"] if isinstance(run["config"], Mapping) else {}
    parts = [
        ("Models", _models(config)),
        ("Questions", _questions(tables)),
        ("Probes", _probes(_part(config, "probe"), tables)),
        ("Transfer", _transfer(_part(config, "transfer"), tables)),
        ("Interventions", _interventions(_part(config, "intervention", "intervene"), tables)),
        ("Relearning", _relearning(_part(config, "relearn"), tables)),
        ("Features", _features(_part(config, "features"), tables)),
        ("Chains of thought", _chains(_part(config, "reasoning"), tables)),
        ("Training signals", _objectives(_part(config, "objectives"), tables)),
        ("Verdict", _verdict(run.get("rule"), tables)),
        ("Software", _software(run)),
    ]
    return [(name, text) for name, text in parts if text]


def listed(values: Sequence[Any]) -> str:
    """Words in a row: "a, b and c"; numbers without trailing zeros."""
    words = [_n(value) for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _n(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _has(settings: Config, names: str) -> bool:
    """Whether a run was set by all of these; those of another version may lack some."""
    return set(names.split()) <= set(settings)


def _part(config: Config, *names: str) -> Config:
    parts = (config.get(name) for name in names)
    return next((part for part in parts if isinstance(part, Mapping)), {})


def _models(config: Config) -> str:
    models, members = config.get("models"), config.get("members")
    said = []
    if isinstance(models, Mapping):
        named = [
            f"{name} ({_source(entry)})" if entry else str(name) for name, entry in models.items()
        ]
        said.append(f"Models: {listed(named)}.")
    elif config.get("lineage"):
        seeds = config.get("seeds")
        ending = "s" if seeds and len(seeds) > 1 else ""
        trained = f" for seed{ending} {listed(seeds)}" if seeds else ""
        which = f", members {listed(members)}" if members else ""
        said.append(f"Models are of the lineage {config['lineage']}{trained}{which}.")
    shape = config.get("shape")
    if isinstance(shape, Mapping) and {"n_layers", "d_model", "n_heads"} <= set(shape):
        said.append(
            f"Each is a decoder of {shape['n_layers']} layers, width {shape['d_model']} and "
            f"{shape['n_heads']} heads."
        )
    if config.get("dtype"):
        said.append(f"Weights were loaded as {config['dtype']}.")
    if config.get("budget", 1.0) != 1.0:
        said.append(f"Training took {_n(config['budget'])} of each recipe's steps.")
    return " ".join(said)


def _source(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    parent = f", child of {entry['parent']}" if entry.get("parent") else ""
    return f"{entry.get('source', '')}{parent}"


def _questions(tables: Tables) -> str:
    said = []
    behavior, kinds = tables.get("behavior"), tables.get("kinds")
    if behavior is not None and {"group", "mode", "measure", "n"} <= set(behavior):
        rates = behavior[behavior["measure"] == "abstain_rate"].drop_duplicates(["group"])
        counts = [f"{row.n} {str(row.group).replace('_', ' ')}" for row in rates.itertuples()]
        if counts:
            ways = [_WAYS.get(mode, str(mode)) for mode in dict.fromkeys(behavior["mode"])]
            said.append(
                f"Each model was asked {listed(counts)} questions in every seed, {listed(ways)}."
            )
    if kinds is not None and {"elicitation"} <= set(kinds):
        said.append(f"Questions were put by {listed(list(dict.fromkeys(kinds['elicitation'])))}.")
    return " ".join(said)


def _probes(settings: Config, tables: Tables) -> str:
    probes = tables.get("probes")
    if probes is None or not {"layer", "position", "n"} <= set(probes):
        return ""
    layers = [layer for layer in sorted(probes["layer"].unique()) if layer >= 0]
    where = f"layers {layers[0]} to {layers[-1]}" if layers else "the embedding"
    if layers and probes["layer"].min() < 0:
        where += " and the embedding"
    positions = [f"the {position_label(p)}" for p in dict.fromkeys(probes["position"])]
    counts = sorted({int(n) for n in probes["n"]})
    size = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    said = [
        f"Activations of the residual stream were captured at {where}, at {listed(positions)}, on "
        f"{size} prompts a cell."
    ]
    if _has(settings, "n_shuffles n_control_tasks n_splits n_boot levels"):
        reader = "Linear and MLP probes were" if settings.get("mlp") else "Linear probes were"
        controls = [f"{settings['n_shuffles']} shuffles of the labels with a max-T correction over "
                    "all cells", f"{settings['n_control_tasks']} control tasks"]  # fmt: skip
        if settings.get("random_init"):
            controls.append("the same model at its initialisation")
        said.append(
            f"{reader} fitted in {settings['n_splits']} folds that keep "
            f"{_unit(settings)} together, against {listed(controls)}. "
            f"Intervals are of {settings['n_boot']} resamples over {listed(settings['levels'])}."
        )
    return " ".join(said)


def _unit(settings: Config) -> str:
    units = settings.get("levels") or ["pair"]
    return f"the rows of one {units[-1]}"


def _transfer(settings: Config, tables: Tables) -> str:
    if not {"transfer", "preservation"} & set(tables) or not _has(
        settings, "n_splits n_boot n_halvings n_unrelated margin"
    ):
        return ""
    return (
        "The parent's probe was applied unchanged to the child; "
        f"{settings['n_splits']} folds, {settings['n_boot']} resamples, cosines over "
        f"{settings['n_halvings']} halvings against {settings['n_unrelated']} directions of "
        f"shuffled labels. AUROCs within {_n(settings['margin'])} count as equivalent (TOST)."
    )


def _interventions(settings: Config, tables: Tables) -> str:
    said = []
    if "steering" in tables and _has(settings, "alphas n_random max_known"):
        layers = tables["steering"].get("layer", pd.Series(dtype=int)).dropna().unique()
        at = f" at layer {listed(sorted(int(layer) for layer in layers))}" if len(layers) else ""
        said.append(
            f"The parent's difference of means was added{at} with {listed(settings['alphas'])} "
            f"times its norm, beside {settings['n_random']} random directions of that norm; a "
            "strength was chosen on the development split if it adds at most "
            f"{_n(settings['max_known'])} abstention on known questions."
        )
    if "ablation" in tables:
        said.append("The direction was projected out at every layer, and a random one likewise.")
    if "graft" in tables:
        said.append("Lower layers of one model were put under upper layers of the other.")
    return " ".join(said)


def _relearning(settings: Config, tables: Tables) -> str:
    needed = "n_examples n_draws steps batch_size lr n_upper decisive_n"
    if "relearn" not in tables or not _has(settings, needed):
        return ""
    return (
        f"Abstention was taught again from {listed(settings['n_examples'])} examples "
        f"({settings['n_draws']} draws) in {settings['steps']} steps of batch "
        f"{settings['batch_size']} at a learning rate of {_n(settings['lr'])}, to all weights and "
        f"to the upper {settings['n_upper']} blocks with final norm and head, and measured on "
        f"held-out questions. The verdict reads {settings['decisive_n']} examples."
    )


def _features(settings: Config, tables: Tables) -> str:
    said = []
    recipe, search = _part(settings, "recipe"), _part(settings, "search")
    coder = _part(settings, "crosscoder")
    if "dictionaries" in tables and _has(recipe, "architecture n_latents steps batch lr"):
        said.append(
            f"Dictionaries: {recipe['architecture']} of {recipe['n_latents']} latents, "
            f"{recipe['steps']} steps of batch {recipe['batch']} at a learning rate of "
            f"{_n(recipe['lr'])}."
        )
    if "features" in tables and _has(search, "positions q n_boot min_cosine"):
        said.append(
            f"Latents were searched at {_places(search)} with a false discovery rate "
            f"of {_n(search['q'])} over all of them, {search['n_boot']} resamples, and had to be "
            f"matched (cosine {_n(search['min_cosine'])}) in a dictionary of another seed."
        )
    if "crosscoders" in tables and _has(coder, "n_latents k steps"):
        said.append(f"Crosscoders: {coder['n_latents']} latents, k {coder['k']}, "
                    f"{coder['steps']} steps.")  # fmt: skip
    return " ".join(said)


def _places(search: Config) -> str:
    return listed([f"the {position_label(str(place))}" for place in search["positions"]])


def _chains(settings: Config, tables: Tables) -> str:
    chains = _part(settings, "chains")
    needed = "n_people samples temperature n_boot n_splits"
    if "strategies" not in tables or not _has(chains, needed):
        return ""
    return (
        f"Of {chains['n_people']} known and as many unknown people {chains['samples']} chains each "
        f"were sampled at temperature {_n(chains['temperature'])}; {chains['n_boot']} resamples "
        f"over people, {chains['n_splits']} folds."
    )


def _objectives(settings: Config, tables: Tables) -> str:
    said = []
    if "trajectory" in tables and _has(settings, "snapshots"):
        said.append(f"Training runs were followed at {settings['snapshots']} snapshots.")
    repair = _part(settings, "repair")
    if "repairs" in tables and _has(repair, "alphas max_cost"):
        said.append(
            f"Repairs were chosen among strengths {listed(repair['alphas'])} on the development "
            f"split, at a cost of at most {_n(repair['max_cost'])}."
        )
    return " ".join(said)


def _verdict(rule: Any, tables: Tables) -> str:
    if "verdict" not in tables or not rule:
        return ""
    found = yaml.safe_load(str(rule))
    lines = found.get("lines") if isinstance(found, Mapping) else None
    if not isinstance(lines, Mapping):
        return "The rule was fixed before the run; it stands below."
    cuts = [
        f"{str(name).replace('_', ' ')} (gone below {line['cut_gone']}, there from "
        f"{line['cut_there']})"
        for name, line in lines.items()
        if isinstance(line, Mapping) and line.get("decides") and "cut_gone" in line
    ]
    return (
        "Verdicts follow from a rule fixed before the run; deciding lines of evidence and their "
        f"cut-offs: {listed(cuts)}."
    )


def _software(run: Mapping[str, Any]) -> str:
    versions = run.get("versions")
    with_them = f" with {listed([f'{k} {v}' for k, v in versions.items()])}" if versions else ""
    return f"Code {run['code_version']}{with_them}; run {run['run_id']}."
