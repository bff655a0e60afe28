"""Where a server, and all that a tenant runs in it, may connect to: rules of nftables by its OS user.

Allowed: its own port, the router's, name servers (port 53), and everything on other machines, because foreign data
wrappers and logical replication are there to be used. Refused: every other port of this machine under any of its
addresses, the API's among them, and the addresses at which clouds tell a machine its secrets. A server may answer on
its own port only, so that a tenant which listens where another server, the router or the API was a moment ago gets
nobody's password.

There is one table for all Howdahs of a machine, because what one table refuses no other can allow, and an OS user
belongs to whoever started a server with it last. Packets are judged without connection tracking: that would be switched
on for every packet of the machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TABLE = "inet howdah"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_METADATA = (
    "169.254.0.0/16",  # link-local: AWS, Google, Azure, Oracle, OpenStack, DigitalOcean, Hetzner; AWS tasks
    "168.63.129.16",  # Azure's wire server
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle, older images
)
_METADATA_V6 = (
    "fe80::/10",  # link-local: OpenStack
    "fd00:ec2::254",  # AWS
    "fd20:ce::254",  # Google
    "fd00:c1::a9fe:a9fe",  # Oracle
)
_FRAME = f"""\
add table {TABLE}
add map {TABLE} tenants {{ type uid : verdict; }}
add chain {TABLE} output {{ type filter hook output priority filter; policy accept; }}
add chain {TABLE} elsewhere
add chain {TABLE} refused
flush chain {TABLE} output
flush chain {TABLE} elsewhere
flush chain {TABLE} refused
add rule {TABLE} output meta skuid vmap @tenants
add rule {TABLE} elsewhere meta l4proto {{ tcp, udp }} th dport 53 accept
add rule {TABLE} elsewhere ip daddr {{ {", ".join(_METADATA)} }} goto refused
add rule {TABLE} elsewhere ip6 daddr {{ {", ".join(_METADATA_V6)} }} goto refused
add rule {TABLE} elsewhere tcp flags & (syn | ack) == (syn | ack) goto refused
add rule {TABLE} refused meta l4proto tcp reject with tcp reset
add rule {TABLE} refused reject with icmpx type admin-prohibited
"""


def install(owner: str, router_ports: Sequence[int]) -> None:
    """Have the rules, with ``router_ports`` as those of ``owner``: a name of letters and digits, one for each state
    directory. Says nothing of any server yet, and changes nothing for those that run. Raises OSError."""
    _run(_frame(owner) + f"flush set {TABLE} {_routers(owner)}\n" + _elements(_routers(owner), router_ports))


def allow(owner: str, ports: Mapping[int, Sequence[int]], router_ports: Sequence[int] = ()) -> None:
    """Hold OS users to these rules before their servers start; ``ports``: by uid the port that is its own, then those
    of other servers that it may connect to: the members of its service.

    Says it all again where it was said before, ``router_ports`` too: others may have flushed all rules since. Raises
    OSError; then nothing has changed.
    """
    tenants = "".join(_tenant(owner, uid, *its) for uid, its in ports.items())
    try:
        # Alone it is four times quicker: the kernel waits for all packets under way before it lets a flushed rule go.
        _run(tenants)
    except OSError:
        _run(_frame(owner) + _elements(_routers(owner), router_ports) + tenants)


def remove(uids: Iterable[int]) -> None:
    """Forget OS users that no process has any more. Raises OSError."""
    _run(_FRAME + "".join(_removal(uid) for uid in uids))


def uninstall(owner: str) -> None:
    """Forget an owner and all its OS users; no process of theirs is left. Raises OSError."""
    _run(_frame(owner))
    listed = json.loads(_nft("--json", "list", "table", *TABLE.split()))["nftables"]
    mark = f'"@{_routers(owner)}"'
    chains = {entry["rule"]["chain"] for entry in listed if "rule" in entry and mark in json.dumps(entry)}
    removals = "".join(_removal(int(chain.removeprefix("tenant_"))) for chain in chains)
    _run(f"{_frame(owner)}{removals}delete set {TABLE} {_routers(owner)}\n")


def guarded() -> set[int]:
    """The OS users that are held to these rules now. Raises OSError."""
    said = json.loads(_nft("--json", "list", "map", *TABLE.split(), "tenants"))
    return {int(element[0]) for entry in said["nftables"] for element in entry.get("map", {}).get("elem", ())}


def missing() -> str | None:
    """Why there can be no such rules here; None when there can. As root."""
    if shutil.which("nft", path=_PATH) is None:
        return "nft not found; apt-get install nftables"
    try:
        _run(_frame("probe") + _tenant("probe", 65534, 1), "--check")
    except OSError as error:
        return str(error)
    return None


def _frame(owner: str) -> str:
    return f"{_FRAME}add set {TABLE} {_routers(owner)} {{ type inet_service; }}\n"


def _routers(owner: str) -> str:
    if not (owner.isascii() and owner.isalnum()):
        raise ValueError(f"{owner!r} must be letters and digits")
    return f"routers_{owner}"


def _elements(name: str, elements: Sequence[int]) -> str:
    return f"add element {TABLE} {name} {{ {', '.join(map(str, elements))} }}\n" if elements else ""


def _tenant(owner: str, uid: int, port: int, *peers: int) -> str:
    """A packet without SYN alone is none that opens a connection: an answer, when it leaves from the server's port."""
    chain, routers = f"tenant_{uid:d}", _routers(owner)
    rules = (
        f"tcp sport @{routers} goto refused",
        "fib daddr type != local goto elsewhere",
        "meta l4proto { tcp, udp } th dport 53 accept",
        *(f"tcp dport {allowed:d} accept" for allowed in (port, *peers)),
        f"tcp dport @{routers} accept",
        f"tcp flags & (syn | ack) != syn tcp sport {port:d} accept",
        "goto refused",
    )
    return (
        f"add chain {TABLE} {chain}\nflush chain {TABLE} {chain}\n"
        + "".join(f"add rule {TABLE} {chain} {rule}\n" for rule in rules)
        + f"add element {TABLE} tenants {{ {uid:d} : goto {chain} }}\n"
    )


def _removal(uid: int) -> str:
    """Adding first makes it right whether or not it was there."""
    chain = f"tenant_{uid:d}"
    return (
        f"add chain {TABLE} {chain}\nadd element {TABLE} tenants {{ {uid:d} : goto {chain} }}\n"
        f"delete element {TABLE} tenants {{ {uid:d} }}\nflush chain {TABLE} {chain}\ndelete chain {TABLE} {chain}\n"
    )


def _run(rules: str, *options: str) -> None:
    """All of ``rules`` or none."""
    _nft(*options, "-f", "-", said=rules)


def _nft(*arguments: str, said: str | None = None) -> Any:
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=said,
            capture_output=True,
            text=True,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        raise OSError("nft not found; apt-get install nftables") from None
    except subprocess.TimeoutExpired:
        raise OSError("nft has not ended within 30 s") from None
    if done.returncode != 0:
        problem = next((line for line in done.stderr.splitlines() if line.strip()), f"exit status {done.returncode}")
        raise OSError(f"nft refuses the egress rules: {problem.strip()}")
    return done.stdout
