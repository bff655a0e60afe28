# Which Python: 3.11 or newer, able to make environments, and as root one that other users can run as well.

# setpriv itself keeps its rights until it has started the program, so a shell comes between.
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- /bin/sh -c 'exec "$0" "$@"' "$@"; }

# Every candidate's path, the wanted one first.
python_candidates() {
  local name
  if [[ ${HOWDAH_PYTHON:-} ]]; then
    command -v "$HOWDAH_PYTHON" || printf '%s\n' "$HOWDAH_PYTHON"
    return
  fi
  {
    for name in python3 python3.13 python3.12 python3.11; do
      type -aP "$name" || true
    done
    printf '%s\n' /usr/bin/python3 /usr/local/bin/python3
  } | awk '!seen[$0]++'
}

# Why a Python cannot be used, on stdout; nothing when it can.
python_objection() {
  local python=$1 real
  [[ -x $python ]] || { echo "it is not there or not executable"; return; }
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { echo "it is older than 3.11 or does not run"; return; }
  "$python" -c 'import ensurepip, venv, ssl, sqlite3' 2>/dev/null ||
    { echo "it cannot make environments (on Debian and Ubuntu the package python3-venv is missing)"; return; }
  if is_root; then
    real=$(real_python "$python")
    as_nobody "$real" -I -c 'import ssl, encodings' >/dev/null 2>&1 ||
      echo "other users cannot run $real, and started as root Howdah does its work as the user 'howdah'"
  fi
}

# The interpreter behind shims, links and environments.
real_python() { "$1" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'; }

# Sets PYTHON; says which candidates were passed over and why, unless quiet.
find_python() {
  local candidate objection
  PYTHON=
  while read -r candidate; do
    objection=$(python_objection "$candidate")
    if [[ -z $objection ]]; then
      PYTHON=$(real_python "$candidate")
      return 0
    fi
    if [[ ${1:-} != quiet && -e $candidate ]]; then
      say "not using $candidate: $objection"
    fi
  done < <(python_candidates)
  return 1
}

require_python() {
  find_python && return
  if [[ ${HOWDAH_PYTHON:-} ]]; then
    fail "HOWDAH_PYTHON=$HOWDAH_PYTHON cannot be used: $(python_objection "$HOWDAH_PYTHON")"
  fi
  fail "no Python 3.11 or newer that can be used was found." \
    "Debian 12+ and Ubuntu 24.04+: apt-get install python3 python3-venv; elsewhere name one: HOWDAH_PYTHON=/path/to/python3"
}
