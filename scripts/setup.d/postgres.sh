# Postgres' programs, fetched once per machine; `howdah.engines.local.binaries` knows which, from where, and their hashes.

cache_directory() {
  if [[ ${XDG_CACHE_HOME:-} ]]; then
    echo "$XDG_CACHE_HOME/howdah"
  elif is_root; then
    echo /var/cache/howdah
  else
    echo "$HOME/.cache/howdah"
  fi
}

postgres_is_there() {
  local major
  for major in 17 18; do
    compgen -G "$(cache_directory)/postgres/$major*/bin/postgres" >/dev/null || return 1
  done
}

fetch_postgres() {
  local code='
import pathlib, sys
from howdah.domain.errors import SetupError
from howdah.domain.states import PostgresVersion
from howdah.engines.local.binaries import ensure_binaries
try:
    for version in PostgresVersion:
        ensure_binaries(version, pathlib.Path(sys.argv[1]), lambda text: print(text, flush=True))
except SetupError as error:
    sys.exit(error.sentence)
'
  mkdir -p "$(cache_directory)"
  step "fetching and unpacking Postgres 17 and 18 (26 MB) to $(cache_directory)" \
    "$VENV/bin/python" -c "$code" "$(cache_directory)/postgres" || fail "Postgres' programs are missing"
}
