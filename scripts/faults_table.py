"""Writes the table of docs/faults.md from the tests that are marked with a fault; with --check only says whether it is
true. Times are those of benchmarks/results/faults.json, which a run of the tests writes:

    HOWDAH_TEST_FIGURES=benchmarks/results/faults.json make test-long
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
FIGURES = ROOT / "benchmarks" / "results" / "faults.json"
BEGIN, END = "<!-- table: written by scripts/faults_table.py -->", "<!-- end of table -->"
HEAD = ("fault", "what happens", "how long", "test")

Times = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``test``: the id of the test, without parameters."""

    what: str
    then: str
    test: str


def main() -> int:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}\n{table(list(faults()), longest(FIGURES))}\n{END}{after}"
    if page == PAGE.read_text():
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{PAGE.name} does not show the faults as the tests make them; run scripts/faults_table.py")
        return 1
    PAGE.write_text(page)
    return 0


def table(found: list[Fault], times: Times) -> str:
    rows = [(one.what, one.then, _said(times.get(one.test, {})), _link(one.test)) for one in found]
    return "\n".join("| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *rows))


def faults() -> Iterator[Fault]:
    """Every mark ``fault(what, then)`` on a test or on one of its parameters, as the files are: nothing is imported."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                test = f"{file.relative_to(ROOT)}::{node.name}"
                calls = (call for decorator in node.decorator_list for call in ast.walk(decorator))
                yield from (_fault(call, test) for call in calls if _is_mark(call))


def longest(file: Path) -> Times:
    """The longest times of each test, over its parameters."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for test, figures in json.loads(file.read_text()).items() if file.exists() else ():
        known = found[test.partition("[")[0]]
        for what, seconds in figures.items():
            known[what] = max(seconds, known.get(what, 0))
    return found


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"


def _fault(call: ast.AST, test: str) -> Fault:
    assert isinstance(call, ast.Call)
    given = dict(zip(("what", "then"), call.args, strict=False)) | {one.arg or "": one.value for one in call.keywords}
    what, then = (" ".join(str(ast.literal_eval(given[name])).split()).replace("|", "\\|") for name in ("what", "then"))
    return Fault(what, then, test)


def _said(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{seconds:.{0 if seconds >= 10 else 1}f} s {what}" for what, seconds in figures.items())


def _link(test: str) -> str:
    file = test.partition("::")[0]
    return f"[{Path(file).stem.removeprefix('test_')}](../{file})"


if __name__ == "__main__":
    sys.exit(main())
