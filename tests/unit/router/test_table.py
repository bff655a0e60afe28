from __future__ import annotations

import os
from pathlib import Path

from howdah.domain.routes import Route, RouteState, encode_routes
from howdah.router.log import Log
from howdah.router.table import RouteTable

FIRST, SECOND = ("127.0.0.1", 20001), ("127.0.0.1", 20002)
ROUTE = Route("s", ("a.example", "b.example"), (FIRST,), RouteState.OPEN)
MOVED = Route("s", ("b.example",), (SECOND,), RouteState.HELD)


def replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def table_of(path: Path, *routes: Route) -> RouteTable:
    replace(path, encode_routes(routes))
    table = RouteTable(path, Log(os.open(os.devnull, os.O_WRONLY)))
    table.refresh()
    return table


def test_a_route_is_found_by_each_of_its_names(tmp_path: Path):
    table = table_of(tmp_path / "routes.json", ROUTE)
    assert [table.named("a.example"), table.named("b.example"), table.named("c.example")] == [ROUTE, ROUTE, None]


def test_a_service_is_served_by_the_servers_of_its_route_and_no_others(tmp_path: Path):
    table = table_of(tmp_path / "routes.json", ROUTE, Route("s-ro", (), (SECOND, FIRST), RouteState.HELD))
    assert (table.leads_to("s", FIRST), table.leads_to("s", SECOND)) == (True, False)
    assert (table.leads_to("s-ro", FIRST), table.leads_to("s-ro", SECOND)) == (True, True)
    assert not table.leads_to("t", FIRST)


def test_services_are_gone_when_a_table_was_read_that_has_them_not(tmp_path: Path):
    table = table_of(tmp_path / "routes.json", ROUTE)
    assert (table.is_gone("s"), table.is_gone("t")) == (False, True)
    unread = RouteTable(tmp_path / "nothing", Log(os.open(os.devnull, os.O_WRONLY)))
    unread.refresh()
    assert not unread.is_gone("s")


def test_a_replaced_table_is_read_and_an_unchanged_one_is_not(tmp_path: Path):
    path = tmp_path / "routes.json"
    table = table_of(path, ROUTE)
    read = table.generation
    table.refresh()
    assert table.generation == read
    replace(path, encode_routes([MOVED]))
    table.refresh()
    assert (table.generation, table.named("a.example"), table.named("b.example")) == (read + 1, None, MOVED)


def test_a_table_replaced_within_the_same_clock_tick_is_noticed(tmp_path: Path):
    path = tmp_path / "routes.json"
    table = table_of(path, ROUTE)
    before = path.stat()
    replace(path, encode_routes([Route("s", ROUTE.names, (SECOND,), ROUTE.state)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    table.refresh()
    assert (found := table.named("a.example")) is not None
    assert found.servers == (SECOND,)


def test_a_broken_table_leaves_the_last_good_one_and_is_logged_once(tmp_path: Path):
    path = tmp_path / "routes.json"
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    replace(path, encode_routes([ROUTE]))
    table = RouteTable(path, Log(log))
    table.refresh()
    for content in (b"{", b'{"version": 3, "services": {}}', b'{"version": 2, "services": {"s": {}}}', b"\xff"):
        replace(path, content)
        table.refresh()
        table.refresh()
        assert table.named("a.example") == ROUTE
    path.unlink()
    table.refresh()
    assert table.named("a.example") == ROUTE
    assert (tmp_path / "log").read_text().count("routes_unreadable") == 1
    replace(path, encode_routes([MOVED]))
    table.refresh()
    assert table.named("b.example") == MOVED
