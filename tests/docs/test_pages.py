"""The Python of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from interp.behaving import BehaveConfig
from interp.organism import World, document_prompts, entity_prompts
from interp.probing import ProbeConfig

README = Path(__file__).parents[2] / "README.md"


def test_the_python_example_runs(pair, tmp_path, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    for name, folder in zip(("base", "child"), pair, strict=True):
        (models / name).symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    prompts = entity_prompts(World(3), "dev", "direct")
    names = {
        "records": prompts.frame.to_dict("records"),
        "text": document_prompts(World(3), 400),
        "dev": prompts,
    }

    for example in examples:  # one after the other, as they are read
        short = example.replace("n_latents=4096, steps=20_000", "n_latents=64, steps=4")
        exec(compile(short, README.name, "exec"), names)

    assert len(names["answers"]) == len(prompts)
    assert names["lower_from_child"].n_layers == names["base"].n_layers
    assert len(names["found"]) == 64
    assert set(names["dictionaries"]) == set(names["acts"].sites)
    assert (tmp_path / "activations" / "mine" / "manifest.json").is_file()
    assert abs(float(names["direction"].vector_D.norm()) - 1) < 1e-5


def yaml_examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_behaviour_run_of_the_example_is_a_valid_one():
    config = BehaveConfig.model_validate(yaml.safe_load(yaml_examples()[1]))
    labels = [elicitation.label for elicitation in config.elicitations]
    assert labels == ["raw", "few_shot", "chat", "chat_thinking"]
    assert config.answering.decoding.thinking.budget == 2000
    assert len(config.sources) > 1


def test_the_probe_run_of_the_example_is_a_valid_one():
    config = ProbeConfig.model_validate(yaml.safe_load(yaml_examples()[0]))
    assert config.sources["child"].parent == "parent"
    assert config.probe.hold_out == "scenario"
