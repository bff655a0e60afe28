from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import BadRequest
from howdah.domain.tags import Tag, check_tags, is_protected, retention_days

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
        ([Tag("howdah_x")], "none of Howdah's documented tags; they are: howdah_protected, howdah_retention_days"),
        ([Tag("Howdah_protected", "true")], "none of Howdah's documented tags"),
        ([Tag("howdah_protected", "yes")], "of 'howdah_protected' is 'yes'; it must be true or false"),
        ([Tag("howdah_protected")], "it must be true or false"),
        ([Tag("howdah_retention_days", "0")], "is '0'; it must be a number of days from 1 to 9999"),
        ([Tag("howdah_retention_days", "7d")], "it must be a number of days"),
    ],
)
def test_wrong_tags_are_refused_with_their_rule(tags: list[Tag], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_tags(tags)


def test_the_tags_that_mean_something_are_understood() -> None:
    tags = check_tags([Tag("howdah_protected", "true"), Tag("howdah_retention_days", "30")])
    assert is_protected(tags)
    assert retention_days(tags) == 30


@pytest.mark.parametrize("tags", [[], [Tag("howdah_protected", "false")], [Tag("other", "true")]])
def test_without_them_nothing_is_meant(tags: list[Tag]) -> None:
    assert not is_protected(check_tags(tags))
    assert retention_days(tags) is None
