"""What a drill looks into."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.engines.local.drills.sample import BLOCK, Look, Relation, choose


def relation(oid: int, blocks: int, *, index: bool = False) -> Relation:
    return Relation("postgres", oid, f"public.r{oid}", blocks * BLOCK, index)


def test_few_are_looked_into_as_a_whole() -> None:
    few = [relation(1, 3), relation(2, 0), relation(3, 10, index=True)]
    looks = choose(few, Random(1))
    assert sorted(looks, key=lambda look: look.relation.oid) == [Look(one, 0, one.size // BLOCK) for one in few]


def test_of_many_the_largest_and_some_others_are() -> None:
    many = [relation(oid, oid) for oid in range(100)]
    seen: set[int] = set()
    for seed in range(20):
        chosen = [look.relation.oid for look in choose(many, Random(seed), relations=20)]
        assert len(chosen) == len(set(chosen)) == 20
        assert set(range(90, 100)) <= set(chosen)
        seen |= set(chosen)
    assert len(seen) > 80


def test_of_a_table_that_is_too_large_a_part_is_and_an_index_is_left_out() -> None:
    large = [relation(1, 1000), relation(2, 1000, index=True)]
    (look,) = choose(large, Random(1), size=100 * BLOCK)
    assert (look.relation.oid, look.blocks) == (1, 10)
    assert 0 <= look.first <= 990


SIZES = st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=60)


@given(SIZES, st.integers(0, 40), st.integers(0, 2000), st.integers())
def test_it_is_never_more_than_it_may_be(sizes: list[tuple[int, bool]], relations: int, blocks: int, seed: int) -> None:
    found = [relation(oid, size, index=index) for oid, (size, index) in enumerate(sizes)]
    looks = choose(found, Random(seed), relations=relations, size=blocks * BLOCK)
    assert len(looks) <= relations
    assert sum(look.blocks for look in looks) <= blocks
    assert len({look.relation.oid for look in looks}) == len(looks)
    for look in looks:
        assert look.first + look.blocks <= look.relation.size // BLOCK
        assert not look.relation.index or look.blocks * BLOCK == look.relation.size


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK + 1])
def test_a_last_block_that_is_not_whole_counts_as_one(size: int) -> None:
    (look,) = choose([Relation("postgres", 1, "public.cut", size, False)], Random(1))
    assert (look.first, look.blocks) == (0, -(-size // BLOCK))
