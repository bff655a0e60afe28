"""What holds for the project's own files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host_and_has_a_hash_for_every_package(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.findall(r"https?://|--index|--extra|--find-links", text) == []
    packages = re.split(r"\n(?=\S)", re.sub(r"(?m)^ *#.*\n", "", text).strip())
    assert len(packages) > 20
    assert [package.splitlines()[0] for package in packages if "--hash=sha256:" not in package] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_dependency_is_locked(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    if "dev" in name:
        wanted += project["dependency-groups"]["dev"]
    locked = {line.partition("==")[0] for line in (ROOT / name).read_text().splitlines() if "==" in line}
    assert {re.split(r"[\[>=<]", one)[0] for one in wanted} - locked == set()


def test_both_locks_agree() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z0-9_-]+==", line))

    run, dev = (pins(name) for name in LOCKS)
    assert run.items() - dev.items() == set()


def test_every_dependency_says_why_it_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    page = (ROOT / "docs" / "dependencies.md").read_text()
    table = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    everything = [
        *project["project"]["dependencies"],
        *(one for g in project["dependency-groups"].values() for one in g),
    ]
    names = {re.split(r"[\[>=<]", one)[0] for one in everything}
    assert {name for name in names if not re.search(rf"\| [^|]*\b{re.escape(name)}\b[^|]* \|", table)} == set()


@pytest.mark.parametrize("script", ["configuration_table.py", "faults_table.py"])
def test_a_table_that_is_written_by_a_script_shows_things_as_they_are(script: str) -> None:
    check = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    said = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_target_of_make_help_exists() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[1] for line in said.splitlines()}
    assert targets >= {"install", "demo", "serve", "test", "lint", "bench", "clean"}
