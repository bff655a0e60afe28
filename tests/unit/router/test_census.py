from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from howdah.router.census import Census

CLIENTS = ("loopback", "10.0.0.1", "10.0.0.11", "2001:db8:1111:2222:3333:4444:5555:6666")
SERVERS = (("127.0.0.1", 20001), ("127.0.0.1", 2000), ("2001:db8:1111:2222:3333:4444:5555:7777", 65535))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(CLIENTS), st.sampled_from(SERVERS)), max_size=30), st.data()
)
def test_each_sees_what_the_others_have(entered: list[tuple[int, str, tuple[str, int]]], data: st.DataObject):
    census = Census(3, 30)
    seats = [census.seat(number) for number in range(3)]
    places = [(seats[worker].enter(client, server), worker, client, server) for worker, client, server in entered]
    gone = data.draw(st.sets(st.sampled_from(range(len(places))))) if places else set[int]()
    for number in gone:
        seats[places[number][1]].leave(places[number][0])
    left = [place[1:] for number, place in enumerate(places) if number not in gone]
    for number, seat in enumerate(seats):
        others = [(client, server) for worker, client, server in left if worker != number]
        for client in CLIENTS:
            assert seat.others_servers(client) == {server for one, server in others if one == client}
        for server in SERVERS:
            assert seat.others_load(server) == sum(one == server for _, one in others)


def test_a_place_is_used_again():
    census = Census(2, 1)
    seat, other = census.seat(0), census.seat(1)
    for client in CLIENTS:
        place = seat.enter(client, SERVERS[0])
        assert other.others_servers(client) == {SERVERS[0]}
        seat.leave(place)
        assert other.others_servers(client) == set()


def test_clients_are_counted_together_and_forgotten_with_their_worker():
    census = Census(2, 4)
    first, second = census.seat(0), census.seat(1)
    first.note_clients(3)
    second.note_clients(1)
    first.enter("loopback", SERVERS[0])
    assert (first.others_clients(), second.others_clients(), census.all_clients()) == (1, 3, 4)
    census.forget(0)
    assert (census.all_clients(), second.others_servers("loopback"), second.others_load(SERVERS[0])) == (1, set(), 0)


def test_half_of_a_record_is_none():
    census = Census(2, 4)
    seat = census.seat(1)
    place = census.seat(0).enter("loopback", SERVERS[0])
    whole = census.places(0)
    for cut in range(whole.index(b"\4") + 1):
        census.write(0, place, whole[:cut] + bytes(len(whole) - cut))
        assert seat.others_servers("loopback") == set()
