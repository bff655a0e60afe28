"""Where the control plane keeps its files below the state directory."""

from __future__ import annotations

from pathlib import Path


def store_file(state: Path) -> Path:
    return state / "howdah.db"


def secrets_key_file(state: Path) -> Path:
    return state / "secrets.key"


def bootstrap_file(state: Path) -> Path:
    return state / "bootstrap.env"


def api_authority_file(state: Path) -> Path:
    """The CA of a certificate that the API made for itself, for its clients."""
    return state / "api-ca.pem"


def api_tls_directory(state: Path) -> Path:
    """What only we may read of it."""
    return state / "api-tls"


def api_authority_key_file(state: Path) -> Path:
    """The keys of that CA. Clients trust it for years: it is part of a backup."""
    return api_tls_directory(state) / "roots.json"


def api_certificate_file(state: Path) -> Path:
    """The certificate that it signed last, with its key."""
    return api_tls_directory(state) / "certificate.pem"


def lock_file(state: Path) -> Path:
    return state / "lock"


def routes_file(state: Path) -> Path:
    return state / "routes.json"


def log_directory(state: Path) -> Path:
    return state / "log"


def router_directory(state: Path) -> Path:
    """Writable by the router's OS user; nothing else is."""
    return state / "router"


def router_port_file(state: Path) -> Path:
    """Not in the router's directory: we write it, and what its OS user could put there must not lead us elsewhere."""
    return state / "router.json"
