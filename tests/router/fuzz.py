"""Searches for bytes that break a target, guided by what they reach in the parsers (atheris, libFuzzer).

    python tests/router/fuzz.py hello|startup|talk [libFuzzer's options] [directories of inputs]

New inputs go into the first directory. To keep what was found, merged into the least that reaches as much:

    python tests/router/fuzz.py hello -merge=1 tests/router/corpus/hello FOUND
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["howdah"]):
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from router.fuzz_targets import MOST_BYTES, TARGETS


def main() -> None:
    script, target, *options = sys.argv
    again = f"{sys.executable} {script} {target}"  # libFuzzer runs it by a shell when it merges
    atheris.Setup([again, f"-max_len={MOST_BYTES}", *options], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
