# .venv: the locked dependencies and howdah itself.

lock_of_mode() { if [[ $1 == dev ]]; then echo requirements-dev.lock; else echo requirements.lock; fi; }
lock_file() { if [[ -w . ]]; then echo .setup.lock; else echo "${TMPDIR:-/tmp}/howdah-setup-$(id -u).lock"; fi; }
hashed() { sha256sum | cut -c1-32; }

# Whether other users can read this checkout: below a private home they cannot.
checkout_is_readable() {
  ! is_root || as_nobody test -r "$(pwd -P)/src/howdah/__init__.py" 2>/dev/null
}

# Sets VENV. As root in a private checkout the environment, with a copy of howdah, lies where others can read it.
choose_venv() {
  VENV=.venv
  INSTALL=editable
  if ! checkout_is_readable; then
    VENV=/opt/howdah/venv-$(pwd -P | hashed | cut -c1-8)
    INSTALL=copy
  fi
}

# What makes an environment out of date: the lock, the package's metadata, the place, and for a copy the code itself.
stamp_of() {
  {
    cat "$(lock_of_mode "$1")" pyproject.toml
    sha256sum scripts/setup scripts/setup.d/*
    pwd -P
    echo "$INSTALL $VENV ${HOWDAH_PYTHON:-}"
    if [[ $INSTALL == copy ]]; then
      find src -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 cat
    fi
  } | hashed
}

stamp_matches() {
  local mode
  for mode in "$@"; do
    [[ $(cat "$VENV/.set-up-$mode" 2>/dev/null) == "$(stamp_of "$mode")" ]] && return 0
  done
  return 1
}

# What is set up for dev serves the others as well, and what is for demo serves run.
is_set_up() {
  local modes=(dev)
  [[ $MODE == dev ]] || modes+=(demo)
  [[ $MODE != run ]] || modes+=(run)
  stamp_matches "${modes[@]}" && "$VENV/bin/python" -c 'import howdah' 2>/dev/null && [[ -e .venv/bin/howdah ]] &&
    postgres_is_there
}

mark_set_up() { stamp_of "$MODE" >"$VENV/.set-up-$MODE"; }

venv_is_sound() {
  [[ $("$VENV/bin/python" -c 'import os, sys, pip; print(os.path.realpath(sys._base_executable))' 2>/dev/null) == "$PYTHON" ]]
}

make_venv() {
  require_python
  if ! venv_is_sound; then
    [[ ! -e $VENV ]] || say "$VENV is incomplete or of another Python; making it anew"
    rm -rf "$VENV"
    mkdir -p "$(dirname "$VENV")"
    step "making an environment in $VENV with $PYTHON" "$PYTHON" -m venv "$VENV" ||
      fail "the environment could not be made; HOWDAH_PYTHON chooses another Python"
  fi
  if [[ $INSTALL == copy && $(readlink .venv) != "$VENV" ]]; then
    say "other users cannot read $(pwd -P), so howdah is copied to $VENV, and .venv links there"
    rm -rf .venv
    ln -s "$VENV" .venv
  fi
  rm -f "$VENV"/.set-up-*
  retried "Python's packages could not be fetched: is there a network, and does pip reach its package index (pip config list)?" \
    "installing the locked dependencies ($(lock_of_mode "$MODE"))" \
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    -r "$(lock_of_mode "$MODE")" || fail "the dependencies could not be installed"
  install_howdah
}

install_howdah() {
  local what=(-e .)
  [[ $INSTALL == editable ]] || what=(.)
  step "installing howdah ($INSTALL)" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input \
    --no-deps --no-build-isolation --force-reinstall "${what[@]}" || fail "howdah itself could not be installed"
  # Started as root Howdah works as a user who cannot write here, and would compile all of it at each start.
  [[ $INSTALL == copy ]] || "$VENV/bin/python" -m compileall -q src || true
}
