# What the set-up says, on stderr: what it does, a sign of life while it does it, and why something failed.

say() { printf '· %s\n' "$*" >&2; }
warn() { printf '! %s\n' "$*" >&2; }
fail() { printf '✗ %s\n' "$@" >&2; exit 1; }

# step TEXT COMMAND…: runs the command, its output in a log that is shown when it fails; says every 5 s that it runs.
step() {
  local text=$1 log began=$SECONDS job status=0 ticks=0
  shift
  log=$(mktemp)
  say "$text"
  "$@" >"$log" 2>&1 </dev/null &
  job=$!
  trap 'kill "$job" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.1
    ticks=$((ticks + 1))
    if ((ticks % 50 == 0)); then
      printf '    %d s: %.100s\n' $((SECONDS - began)) "$(tail -n 1 "$log" | tr -cd '[:print:]')" >&2
    fi
  done
  wait "$job" || status=$?
  trap - INT TERM
  if ((status != 0)); then
    warn "failed after $((SECONDS - began)) s; the end of what it said:"
    tail -n 15 "$log" | sed 's/^/    /' >&2
  fi
  rm -f "$log"
  return "$status"
}

# retried WHY TEXT COMMAND…: the step, up to three times; WHY says what its failure usually means.
retried() {
  local why=$1 try
  shift
  for try in 1 2 3; do
    if step "$@"; then
      return 0
    fi
    if ((try < 3)); then
      say "trying again in $((try * 3)) s ($try of 3 tries failed)"
      sleep $((try * 3))
    fi
  done
  warn "$why"
  return 1
}

is_root() { [[ $(id -u) == 0 ]]; }
