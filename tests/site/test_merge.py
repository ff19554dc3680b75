from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tree_text import mapping

from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value, plain
from vosctl.site.variables.merge import Merger

MARK = Mark("f", 1, 1)


def build(data: Any, file: str = "f") -> Value:
    mark = Mark(file, 1, 1)
    if isinstance(data, dict):
        return Mapping(
            {key: build(item, file) for key, item in data.items()}, dict.fromkeys(data, mark), mark
        )
    if isinstance(data, list):
        return Sequence(tuple(build(item, file) for item in data), mark)
    return Scalar(data, str(data), False, mark)


def reference(base: Any, over: Any) -> Any:
    """The merge in four lines, on plain data."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return (
            {k: reference({}, v) for k, v in over.items() if v is not None}
            if isinstance(over, dict)
            else over
        )
    kept = {key: value for key, value in base.items() if key not in over}
    return kept | {key: reference(base.get(key), value) for key, value in over.items() if value is not None}


def nulls(data: Any) -> bool:
    return isinstance(data, dict) and any(value is None or nulls(value) for value in data.values())


leaves = (
    st.none()
    | st.integers(0, 3)
    | st.text("ab", max_size=1)
    | st.lists(st.integers(0, 2) | st.none(), max_size=2)
)
trees = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
    ),
    max_size=3,
)


def merged(merger: Merger, *layers: Mapping) -> Mapping:
    result = Mapping({}, {}, MARK)
    for layer in layers:
        result = merger.merge(result, layer)
    return result


@given(st.lists(trees, max_size=5))
def test_merging_is_the_reference_on_plain_data(layers: list[dict[str, Any]]) -> None:
    expected: dict[str, Any] = {}
    for layer in layers:
        expected = reference(expected, layer)
    found = plain(merged(Merger(), *(build(layer) for layer in layers)))  # type: ignore[arg-type]
    assert found == expected
    assert not nulls(found)


@given(trees, trees)
def test_a_layer_applied_twice_changes_nothing_more(low: dict[str, Any], high: dict[str, Any]) -> None:
    merger, over = Merger(), build(high)
    assert isinstance(over, Mapping)
    once = merged(merger, build(low), over)  # type: ignore[arg-type]
    assert plain(merger.merge(once, over)) == plain(once)


@given(trees, trees)
def test_what_a_layer_leaves_alone_stays_the_same_object(low: dict[str, Any], high: dict[str, Any]) -> None:
    merger = Merger()
    base = merged(merger, build(low))  # type: ignore[arg-type]
    over = build(high)
    assert isinstance(over, Mapping)
    result = merger.merge(base, over)
    for key, value in base.items.items():
        if key not in over.items:
            assert result.items[key] is value
            assert result.key_marks[key] is base.key_marks[key]
    assert result.items.keys() == result.key_marks.keys()


@given(trees, trees)
def test_merging_changes_neither_side(low: dict[str, Any], high: dict[str, Any]) -> None:
    base, over = build(low), build(high)
    assert isinstance(base, Mapping)
    assert isinstance(over, Mapping)
    merged(Merger(), base, over)
    assert (plain(base), plain(over)) == (low, high)


def test_the_same_layers_give_the_same_objects() -> None:
    merger = Merger()
    base, over = mapping("a: {x: 1, y: {z: 1}}"), mapping("a: {y: {w: 2}}")
    first, second = merger.merge(base, over), merger.merge(base, over)
    assert first is second
    assert first.items["a"] is not base.items["a"]


def test_an_override_deep_down_keeps_its_neighbours() -> None:
    base = mapping(
        "gateways: {acme: {limits: {cps: 10, concurrent: 50}, codecs: [PCMA]}, beta: {tier: small}}"
    )
    over = mapping("gateways: {acme: {limits: {cps: 20}}}")
    result = Merger().merge(base, over)
    gateways, before = result.items["gateways"], base.items["gateways"]
    assert isinstance(gateways, Mapping)
    assert isinstance(before, Mapping)
    assert gateways.items["beta"] is before.items["beta"]
    acme, old = gateways.items["acme"], before.items["acme"]
    assert isinstance(acme, Mapping)
    assert isinstance(old, Mapping)
    assert acme.items["codecs"] is old.items["codecs"]
    assert plain(acme.items["limits"]) == {"cps": 20, "concurrent": 50}


def test_marks_follow_the_winner() -> None:
    base, over = build({"a": 1, "b": {"c": 1}}, "low"), build({"a": 2, "b": {"d": 1}}, "high")
    assert isinstance(base, Mapping)
    assert isinstance(over, Mapping)
    result = Merger().merge(base, over)
    inner = result.items["b"]
    assert isinstance(inner, Mapping)
    assert [result.items["a"].mark.file, result.key_marks["a"].file] == ["high", "high"]
    assert [inner.key_marks["c"].file, inner.key_marks["d"].file] == ["low", "high"]


def test_nothing_over_something_is_that_very_thing() -> None:
    base = mapping("a: {b: 1}")
    assert Merger().merge(base, mapping("{}")) is base
    assert Merger().merge(base, mapping("a: {}")) is base
    assert Merger().merge(base, mapping("zz: null")) is base


def test_null_removes_at_any_depth_and_a_later_layer_puts_back() -> None:
    layers = [mapping("a: {x: 1, y: 2}"), mapping("a: null"), mapping("a: {y: 3}")]
    assert plain(merged(Merger(), *layers)) == {"a": {"y": 3}}
    assert plain(merged(Merger(), layers[0], mapping("a: {x: ~}"))) == {"a": {"y": 2}}
    assert plain(merged(Merger(), mapping("fresh: {x: null, y: {z: null}}"))) == {"fresh": {"y": {}}}


def test_lists_and_scalars_replace_mappings_and_the_other_way_round() -> None:
    assert plain(merged(Merger(), mapping("a: {x: 1}"), mapping("a: [1, null]"))) == {"a": [1, None]}
    assert plain(merged(Merger(), mapping("a: [1]"), mapping("a: {x: 1}"))) == {"a": {"x": 1}}
