"""The Python of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from interp.organism import World, entity_prompts
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
    names = {"records": prompts.frame.to_dict("records")}

    for example in examples:  # one after the other, as they are read
        exec(compile(example, README.name, "exec"), names)

    assert len(names["answers"]) == len(prompts)
    assert names["lower_from_child"].n_layers == names["base"].n_layers
    assert (tmp_path / "activations" / "mine" / "manifest.json").is_file()
    assert abs(float(names["direction"].vector_D.norm()) - 1) < 1e-5


def test_the_probe_run_of_the_example_is_a_valid_one():
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    config = ProbeConfig.model_validate(yaml.safe_load(example))
    assert config.sources["child"].parent == "parent"
    assert config.probe.hold_out == "scenario"
