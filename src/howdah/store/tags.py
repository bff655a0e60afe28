"""Tags as the text of one column."""

from __future__ import annotations

import json
from collections.abc import Sequence

from howdah.domain.tags import Tag


def encode_tags(tags: Sequence[Tag]) -> str:
    return json.dumps([[tag.key, tag.value] for tag in tags])


def decode_tags(text: str) -> tuple[Tag, ...]:
    return () if text == "[]" else tuple(Tag(key, value) for key, value in json.loads(text))
