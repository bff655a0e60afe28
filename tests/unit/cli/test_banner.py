"""Where clients on this machine are sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from howdah.cli.banner import api_url
from howdah.domain.settings import ApiSettings, Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8686"),
        ("::1", "http://[::1]:8686"),
        ("0.0.0.0", "http://127.0.0.1:8686"),
        ("::", "http://[::1]:8686"),
    ],
)
def test_the_url_of_the_api_is_one_that_clients_can_connect_to(host: str, url: str):
    assert api_url(Settings(Path("/state"), api=ApiSettings(host=host))) == url
