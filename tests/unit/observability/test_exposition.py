"""Prometheus' text format: what its reference parser reads is what was meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from howdah.observability.exposition import Family, Kind, exposition

ONE: Family[int] = Family("one_things", Kind.GAUGE, "Things.", lambda value: [({}, value)])
MANY: Family[int] = Family(
    "many_things_total", Kind.COUNTER, "Things.", lambda value: [({"n": str(n)}, n) for n in range(value)]
)


def test_the_samples_of_a_metric_stand_together_whatever_subject_they_are_of() -> None:
    assert exposition([ONE, MANY], [({"of": "a"}, 2), ({"of": "b"}, 1)]) == (
        "# HELP one_things Things.\n# TYPE one_things gauge\n"
        'one_things{of="a"} 2\none_things{of="b"} 1\n'
        "# HELP many_things_total Things.\n# TYPE many_things_total counter\n"
        'many_things_total{of="a",n="0"} 0\nmany_things_total{of="a",n="1"} 1\nmany_things_total{of="b",n="0"} 0\n'
    )


def test_a_metric_of_which_nothing_is_known_is_left_out() -> None:
    assert exposition([MANY], [({"of": "a"}, 0)]) == ""
    assert exposition([ONE], []) == ""


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.text(max_size=40), min_size=1, max_size=3))
def test_any_text_comes_back_from_a_label(labels: dict[str, str]) -> None:
    encodable = {name: text.encode(errors="replace").decode() for name, text in labels.items()}
    (family,) = text_string_to_metric_families(exposition([ONE], [(encodable, 7)]))
    (sample,) = family.samples
    assert (sample.labels, sample.value) == (encodable, 7)


@given(st.one_of(st.integers(0, 1 << 63), st.floats(0, 1e15)))
def test_numbers_come_back_to_the_sixth_place(value: float) -> None:
    family: Family[float] = Family("one_things", Kind.GAUGE, "Things.", lambda value: [({}, value)])
    (found,) = text_string_to_metric_families(exposition([family], [({"of": "a"}, value)]))
    assert abs(found.samples[0].value - value) <= max(1e-6, 1e-15 * value)
