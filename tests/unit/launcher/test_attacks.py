"""A control plane that was taken over, as the launcher meets it: whatever it asks for or has put in its own
directories, nothing of it runs as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.launcher.client import Launcher
from howdah.launcher.layout import Layout
from howdah.launcher.limits import Limits
from howdah.launcher.rights import Rights

UIDS = range(270000, 270010)
LIMITS = Limits(None, 1024, None)
INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, UIDS.start)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no launcher with root's rights")


@pytest.fixture
def places() -> Iterator[Layout]:
    """Below a directory that the users of instances may pass through."""
    with TemporaryDirectory(prefix="hwa-") as made:
        top = Path(made)
        top.chmod(0o755)
        (top / "state").mkdir(mode=0o755)
        yield Layout(top / "state", top / "run", top / "state" / "postgres", top / "state" / "templates")


@pytest.fixture
def launcher(places: Layout) -> Launcher:
    return Launcher.in_process(places, Rights.in_process(UIDS))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="makes a library")
def test_libraries_beside_postgres_are_loaded_by_nothing_that_is_root_still(
    launcher: Launcher, places: Layout, tmp_path: Path
) -> None:
    """The programs are the control plane's, and so are their libraries."""
    root, seen = places.binaries / "18.6.0", places.state / "seen"
    for name in ("bin", "lib"):
        (root / name).mkdir(parents=True)
    (root / "bin" / "postgres").symlink_to("/usr/bin/setpriv")
    source = tmp_path / "library.c"
    needed = subprocess.run(["nm", "-D", "/usr/bin/setpriv"], capture_output=True, text=True, check=True).stdout
    functions = {name for name in needed.split() if name.startswith("capng_")}
    assert functions
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        "__attribute__((constructor)) static void run(void) {"
        f' FILE *file = fopen("{seen}", "a"); if (file) {{ fprintf(file, "%d\\n", geteuid()); fclose(file); }} }}\n'
        + "".join(f"int {name}(void) {{ return -1; }}\n" for name in functions)
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(root / "lib" / "libcap-ng.so.0"), str(source)], check=True)
    seen.touch()
    seen.chmod(0o666)
    launcher.prepare(INSTANCE)
    places.of(INSTANCE).data.mkdir()
    started = launcher.start(INSTANCE, "18.6.0", [], environment={}, limits=LIMITS, storage_gib=1)
    os.waitpid(started.pid, 0)
    assert seen.read_text() == f"{INSTANCE.uid}\n"
