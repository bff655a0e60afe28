# The system's packages: what is missing is installed (as root) or listed with the command that installs it.

# Names of one package in different releases are separated by a bar, newest first.
NEEDED=(
  "libssl3t64|libssl3" libzstd1 liblz4-1 "libxml2|libxml2-16" libgssapi-krb5-2 zlib1g "libreadline8t64|libreadline8"
  tzdata ca-certificates util-linux
)
OPTIONAL=(
  "libnss-myhostname: the names of services (*.localhost) resolve"
  "nftables: as root, services are kept from other ports of this machine and from cloud metadata"
  "quota: as root, services are held to the storage of their size where the file system has user quotas"
  "libossp-uuid16: the extension uuid-ossp"
  "libxslt1.1: the extension xml2"
  "curl: the README's examples"
  "jq: the README's examples"
  "postgresql-client: the README's examples (psql)"
)
FOR_DEMO=(curl jq)
FOR_TESTS=(curl jq openssl postgresql-client iproute2 procps)

installed() {
  local status
  status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) && [[ $status == installed ]]
}

# What of the arguments (alternatives separated by bars) is not installed in any of its names.
missing_of() {
  local wanted name found
  for wanted in "$@"; do
    found=
    for name in ${wanted//|/ }; do
      if installed "$name"; then
        found=yes
        break
      fi
    done
    [[ $found ]] || printf '%s\n' "$wanted"
  done
}

# The name under which this release offers a package; fails when it offers none of the alternatives.
offered_name() {
  local name
  for name in ${1//|/ }; do
    if [[ $(apt-cache show "$name" 2>/dev/null) == *Package:* ]]; then
      printf '%s\n' "$name"
      return
    fi
  done
  return 1
}

optional_names() { printf '%s\n' "${OPTIONAL[@]%%:*}"; }
why_optional() { printf '%s\n' "${OPTIONAL[@]}" | sed -n "s/^$1: //p"; }

missing_needed() {
  missing_of "${NEEDED[@]}"
  if ! find_python quiet; then
    printf 'python3\npython3-venv\n'
  fi
  case $MODE in
    demo) missing_of "${FOR_DEMO[@]}" ;;
    dev) missing_of "${FOR_TESTS[@]}" ;;
  esac
}

install_system_packages() {
  if [[ ${HOWDAH_SETUP_SKIP_APT:-} ]]; then
    say "leaving the system's packages alone (HOWDAH_SETUP_SKIP_APT)"
    return
  fi
  if ! command -v dpkg-query >/dev/null; then
    warn "this system has no dpkg, so its packages are not checked; 'howdah doctor' tells whether libraries are missing"
    return
  fi
  local needed optional
  mapfile -t needed < <(missing_needed | sort -u)
  # shellcheck disable=SC2046
  mapfile -t optional < <(missing_of $(optional_names))
  if ((${#needed[@]} + ${#optional[@]} == 0)); then
    return
  fi
  if is_root; then
    install_as_root
  else
    tell_user
  fi
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"; }

install_as_root() {
  local wanted name names=() unknown=()
  retried "apt-get update failed: is there a network, and are the sources in /etc/apt right?" \
    "asking the system's package sources what they offer (apt-get update)" apt update ||
    warn "going on with the lists that are there"
  for wanted in "${needed[@]}"; do
    if name=$(offered_name "$wanted"); then names+=("$name"); else unknown+=("$wanted"); fi
  done
  ((${#unknown[@]} == 0)) || fail "needed, but this system's package sources do not offer: ${unknown[*]}"
  for wanted in "${optional[@]}"; do
    if name=$(offered_name "$wanted"); then
      names+=("$name")
    else
      warn "$wanted is not offered here; without it this does not work: $(why_optional "$wanted")"
    fi
  done
  ((${#names[@]} > 0)) || return 0
  mapfile -t names < <(printf '%s\n' "${names[@]}" | sort -u)
  retried "apt-get install failed; the lines above say why. By hand: apt-get install ${names[*]}" \
    "installing system packages: ${names[*]}" apt install --no-install-recommends "${names[@]}" ||
    fail "the system packages could not be installed"
}

tell_user() {
  local wanted names=()
  for wanted in "${needed[@]}" "${optional[@]}"; do
    names+=("$(offered_name "$wanted" || printf '%s' "${wanted##*|}")")
  done
  for wanted in "${needed[@]}"; do
    warn "missing and needed: ${wanted//|/ or }"
  done
  for wanted in "${optional[@]}"; do
    warn "missing, can do without: $wanted ($(why_optional "$wanted"))"
  done
  mapfile -t names < <(printf '%s\n' "${names[@]}" | sort -u)
  warn "this installs all of it: sudo apt-get update && sudo apt-get install -y ${names[*]}"
  ((${#needed[@]} == 0)) || fail "cannot go on without the packages that are needed; run that command, then this again"
}

# As root everything that faces the network runs as this user.
make_system_user() {
  if is_root && ! id howdah >/dev/null 2>&1; then
    step "making the system user howdah" \
      useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin howdah ||
      fail "the system user 'howdah' could not be made"
  fi
}
