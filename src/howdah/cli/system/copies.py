"""``howdah system backup`` and ``restore``."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Annotated

import typer

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import note, show_json
from howdah.cli.state import act_as_owner, by_root, own_store, require_store, serve_command, state_directory
from howdah.cli.system.keys import key_file
from howdah.domain.errors import HowdahError, SetupError

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A new file, which only you can read.")]
BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="What howdah system backup has written.")]


def backup(file: NewFile, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Copy the store, the keys of its secrets, the first API key and the CA that the API made for itself into one file.
    A server may run meanwhile.

    What services hold is not in it: their data directories are.
    """
    from howdah.control.copies import pack, read_parts

    require_store(directory := state_directory(state))
    handle = _create(file)
    try:
        own_store(directory)
        packed = io.BytesIO()
        pack(parts := read_parts(directory, key_file(directory)), packed)
        _write(handle, packed.getbuffer())
    except OSError as error:
        _discard(file, handle)
        raise SetupError(f"{file} cannot be written: {error.strerror}") from None
    except BaseException:
        _discard(file, handle)
        raise
    finally:
        os.close(handle)
    if as_json:
        show_json({"file": str(file), "bytes": packed.tell(), "parts": sorted(parts)})
        return
    note(f"{file}: {', '.join(sorted(parts))}; whoever has this file has every password in it")


def restore(file: BackupFile, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Put the store, the keys, the first API key and the API's CA of a backup in the place of those that are there.

    The server must not run; services may. What is replaced is kept beside it.
    """
    from howdah.control.copies import put_back, unpack

    directory = state_directory(state)
    try:
        with file.open("rb") as opened:
            parts = unpack(opened)
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from None
    except HowdahError as error:
        raise SetupError(f"{file} cannot be restored: {error}") from None
    _make(directory)
    act_as_owner(directory)
    kept = put_back(directory, key_file(directory), parts)
    if as_json:
        show_json({"state": str(directory), "parts": sorted(parts), "kept": [str(one) for one in kept]})
        return
    note(f"restored: {', '.join(sorted(parts))}" + (f"; what was there: {', '.join(map(str, kept))}" if kept else ""))
    note(f"start it: {serve_command(directory)}")


def _create(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SetupError(f"{file} is there already; name a new file") from None
    except OSError as error:
        raise SetupError(f"{file} cannot be created: {error.strerror}") from None


def _write(handle: int, content: memoryview) -> None:
    while content:
        content = content[os.write(handle, content) :]
    os.fsync(handle)


def _discard(file: Path, handle: int) -> None:
    """Nothing that looks like a backup stays; the name only, where we no longer have the right to remove it."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        file.unlink()


def _make(state: Path) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o711 if by_root() else 0o700)
    except OSError as error:
        raise SetupError(f"{state} cannot be made: {error.strerror}") from None
