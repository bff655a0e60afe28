"""What a server says when it is ready and when it ends."""

from __future__ import annotations

import os
import shlex

from howdah import __version__
from howdah.cli.state import by_root, default_state, program
from howdah.control.plane import ControlPlane
from howdah.control.resolution import client_address
from howdah.domain.settings import Settings

SINGLE_TENANT = (
    "Started as an ordinary user: all services run as that user, so whoever is superuser of one can reach the"
    " others. Give services to people who trust each other, or start as root."
)


def api_url(settings: Settings) -> str:
    """Where a client on this machine reaches the API."""
    host = client_address((settings.api.host,))
    host = f"[{host}]" if ":" in host else host
    return f"{settings.api.scheme}://{host}:{settings.api.port}"


def banner(plane: ControlPlane) -> str:
    settings = plane.settings
    lines = {
        "API": f"{api_url(settings)} (documentation: {api_url(settings)}/docs)",
        "Postgres": _postgres(plane),
        "State": str(settings.state),
        "Credentials": f'eval "$({program()} env{_state_option(settings)})"',
    }
    text = [f"Howdah {__version__} is ready.", *(f"  {name:<12} {value}" for name, value in lines.items())]
    if not by_root():
        text.append(f"  {'Isolation':<12} {SINGLE_TENANT}")
    text.append("Ctrl-C ends the control plane alone; services go on.")
    return "\n".join(text)


def farewell(plane: ControlPlane) -> str:
    count = sum(len(plane.services.list(organization.id)) for organization in plane.access.organizations())
    services = {0: "no services", 1: "1 service"}.get(count, f"{count} services")
    return (
        f"The control plane has ended; {services} and the router go on running."
        f" To stop them: {program()} stop{_state_option(plane.settings)}"
    )


def _postgres(plane: ControlPlane) -> str:
    wanted = plane.settings.router.port
    if wanted in (0, plane.router_port):
        return f"port {plane.router_port}"
    return f"port {plane.router_port}, because {wanted} was taken; connection strings carry it"


def _state_option(settings: Settings) -> str:
    if settings.state == default_state(os.environ, root=by_root()):
        return ""
    return f" --state {shlex.quote(str(settings.state))}"
