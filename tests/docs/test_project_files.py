"""Citation, continuous integration and hooks: valid, and in step with the package."""

from __future__ import annotations

import re
import tomllib

import yaml

import interp
from tests.docs.conftest import ROOT

CFF_KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi"),
    *("identifiers", "keywords", "license", "license-url", "message", "preferred-citation"),
    *("references", "repository", "repository-artifact", "repository-code", "title", "type"),
    *("url", "version"),
}
"""All keys of the schema of CFF 1.2.0; it allows no others."""
CFF_REQUIRED = {"authors", "cff-version", "message", "title"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def workflow() -> dict:
    return yaml.safe_load(read(".github/workflows/ci.yml"))


def steps() -> list[dict]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))


def made(text: str) -> set[str]:
    """Targets that a text calls with make, at the beginning of a line or between backticks."""
    calls = re.findall(r"(?:^\s*|`)make ((?:[a-z]+ ?|[A-Z]+=\S+ ?)+)", text, re.MULTILINE)
    return {word for call in calls for word in call.split() if "=" not in word}


def test_the_citation_has_the_keys_of_its_format_and_the_version_of_the_package():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert set(citation) >= CFF_REQUIRED
    assert set(citation) <= CFF_KEYS
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in {"software", "dataset"}
    assert citation["version"] == interp.__version__
    assert citation["authors"] == [{"name": "The latent-abstention authors"}]
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]


def test_the_changelog_has_an_entry_for_this_version():
    assert f"## [{interp.__version__}] - " in read("CHANGELOG.md")


def test_the_workflow_runs_on_pushes_and_pull_requests_and_on_both_pythons():
    config = workflow()
    assert set(config[True]) == {"push", "pull_request"}  # YAML 1.1 reads the key `on` as true
    assert config["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    lowest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]
    assert lowest == ">=3.11"


def test_the_workflow_makes_only_what_the_makefile_has():
    called = set().union(*(made(step.get("run", "")) for step in steps()))
    assert called >= {"env", "lint", "test", "figures", "docs"}
    assert called <= targets()


def test_actions_are_pinned_by_major_tag():
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", use) for use in used)


def test_the_pages_make_only_what_the_makefile_has():
    for page in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        assert made(read(page)) <= targets(), page
    assert made(read("README.md")) >= {"study", "test"}


def test_hooks_run_the_tools_of_the_environment():
    hooks = [
        hook
        for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
        for hook in repo["hooks"]
    ]
    assert {hook["id"] for hook in hooks} >= {"ruff-check", "ruff-format", "mypy"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert all(hook["language"] == "system" for hook in hooks)
