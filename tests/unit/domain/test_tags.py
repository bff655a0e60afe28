from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import BadRequest
from howdah.domain.tags import Tag, check_tags

KEYS = st.from_regex(r"[a-zA-Z0-9._-]{1,128}", fullmatch=True).filter(
    lambda key: not key.lower().startswith(("chc_", "howdah_"))
)
TAGS = st.builds(Tag, KEYS, st.none() | st.from_regex(r"[a-zA-Z0-9._-]{0,256}", fullmatch=True))


@given(st.lists(TAGS, max_size=50, unique_by=lambda tag: tag.key))
def test_tags_of_the_rule_are_taken_as_they_are(tags: list[Tag]) -> None:
    assert check_tags(tags) == tuple(tags)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ([Tag(f"k{n}") for n in range(51)], "tags has 51 entries; at most 50"),
        ([Tag("")], r"tags\[0\]\.key is empty"),
        ([Tag("a"), Tag("k" * 129)], r"tags\[1\]\.key has 129 characters; at most 128"),
        ([Tag("a", "v" * 257)], r"tags\[0\]\.value has 257 characters; at most 256"),
        ([Tag("a b")], r"tags\[0\]\.key 'a b' may only have"),
        ([Tag("a", "ä")], r"tags\[0\]\.value"),
        ([Tag("a"), Tag("a")], r"tags\[1\]\.key 'a' occurs twice"),
        ([Tag("chc_x")], "begins with 'chc_', which is reserved"),
        ([Tag("CHC_x")], "reserved"),
        ([Tag("howdah_x")], "none of Howdah's documented tags"),
    ],
)
def test_wrong_tags_are_refused_with_their_rule(tags: list[Tag], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_tags(tags)
