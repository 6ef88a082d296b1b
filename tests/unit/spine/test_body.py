"""Reading what a client sends: strict, clear, and never a fault of the server."""

import json
import time
from typing import Any

import falcon.asgi
import msgspec
import pytest
from falcon import testing
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import wire
from contract.errors import BadJson, InvalidField, TooLarge
from spine.api import body

DEEP = b"[" * 100_000 + b"]" * 100_000


def decode(data: bytes, kind: type[wire.Request] = wire.Submit, lenient: bool = True) -> tuple[Any, list[str]]:
    return body.decode(data, kind, lenient)


def refused(data: bytes, kind: type[wire.Request] = wire.Submit, lenient: bool = True) -> tuple[str, str, str]:
    """Return the code, the field and the words of a refusal."""
    with pytest.raises((BadJson, InvalidField)) as raised:
        decode(data, kind, lenient)
    return raised.value.code, raised.value.members.get("field", ""), raised.value.detail


def request(query: str = "", **headers: str) -> falcon.asgi.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return testing.create_asgi_req(query_string=query, headers=named)


# --- what is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"  \n", b"{}", b" {} "])
def test_nothing_is_an_empty_object(data: bytes) -> None:
    record, ignored = decode(data)
    assert (record.target, record.priority, record.requires, ignored) == ("left-claw", 0, [], [])
    assert record.spec is msgspec.UNSET


def test_json_members_keep_the_text_that_came() -> None:
    record, _ = decode(b'{"spec": {"b":1,  "a":[1.50, 1e2, 9007199254740993]} , "meta":{"x" : null}}')
    assert body.text_of(record.spec) == '{"b":1,  "a":[1.50, 1e2, 9007199254740993]}'
    assert body.text_of(record.meta) == '{"x" : null}'
    assert body.text_of(msgspec.UNSET) is None


def test_characters_beyond_the_first_plane() -> None:
    record, _ = decode('{"label":"𝔘 é \\ud83d\\ude00"}'.encode())
    assert record.label == "𝔘 é 😀"


def test_unknown_members_are_ignored_on_the_routes_of_v0() -> None:
    record, ignored = decode(b'{"createdBy":"me","spec":"s","x":{"deep":[1]},"":0,"it\'s a `name` - at `$.x`":1}')
    assert body.text_of(record.spec) == '"s"'
    assert ignored == ["createdBy", "x", "", "it's a `name` - at `$.x`"]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_attempts", "maxAttempts"),
        ("maxattempts", "maxAttempts"),
        ("max-attempts", "maxAttempts"),
        ("MaxAttempt", "maxAttempts"),
        ("Spec", "spec"),
        ("tagret", "target"),
        ("parentID", "parentId"),
        ("prioritty", "priority"),
    ],
)
def test_a_near_miss_is_named(name: str, meant: str) -> None:
    assert refused(json.dumps({"other": 1, name: 1}).encode()) == (
        "invalid_field",
        name,
        f"{name}: not a known member; did you mean {meant}?",
    )


def test_unknown_members_are_refused_on_new_routes() -> None:
    assert refused(b'{"waiting":1}', wire.ClaimNext, lenient=False) == (
        "invalid_field",
        "waiting",
        "waiting: not a known member; known: capabilities, max, targets, wait",
    )
    assert refused(b'{"waits":1}', wire.ClaimNext, lenient=False)[2].endswith("did you mean wait?")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"maxAttempts":"3"}', "maxAttempts"),
        (b'{"maxAttempts":0}', "maxAttempts"),
        (b'{"maxAttempts":-1}', "maxAttempts"),
        (b'{"maxAttempts":1.5}', "maxAttempts"),
        (b'{"maxAttempts":3.0}', "maxAttempts"),
        (b'{"maxAttempts":1e3}', "maxAttempts"),
        (b'{"maxAttempts":1000000000000000000000000000000}', "maxAttempts"),
        (b'{"maxAttempts":true}', "maxAttempts"),
        (b'{"priority":101}', "priority"),
        (b'{"target":5}', "target"),
        (b'{"target":""}', "target"),
        (b'{"target":"../x"}', "target"),
        (b'{"target":"left-claw\\n"}', "target"),
        (b'{"requires":"git"}', "requires"),
        (b'{"requires":["git",""]}', "requires[1]"),
        (b'{"requires":["git\\n"]}', "requires[0]"),
        (b'{"requires":["a\\"b"]}', "requires[0]"),
        (b'{"traceparent":"00-x"}', "traceparent"),
        (b'{"spec":1e400}', "spec"),
        (b'{"x":1,"priority":101}', "priority"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b"17", "body"),
    ],
)
def test_a_wrong_value_names_its_field(data: bytes, field: str) -> None:
    code, named, words = refused(data)
    assert (code, named) == ("invalid_field", field)
    assert words.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{]",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"spec":nul}',
        b'{"spec":NaN}',
        b'{"spec":-Infinity,"x":1}',
        b'{"spec":"a\nb"}',
        b'{"spec":"\x00"}',
        b'{"x":1, bad',
        b'{"x":1} more',
        b'{"spec":"\xff"}',
        b'{"x":1,"spec":"\xff"}',
        b'{"x":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"\x1f\x8b\x08",
        b'{"spec":' + DEEP + b"}",
        b'{"x":' + DEEP + b"}",
        DEEP,
    ],
)
def test_what_is_no_json(data: bytes) -> None:
    assert refused(data)[0] in ("bad_json", "invalid_field")
    if data is not DEEP:
        assert refused(data)[0] == "bad_json"


@pytest.mark.parametrize(
    ("data", "field", "what"),
    [
        (b'{"label":"a\\u0000b"}', "label", "NUL"),
        (b'{"spec":"\\u0000"}', "spec", "NUL"),
        (b'{"spec":{"a":["b","\\u0000"]}}', "spec.a[1]", "NUL"),
        (b'{"spec":{"a\\u0000":1}}', "spec", "NUL"),
        (b'{"label":"\\ud800"}', "label", "surrogate"),
        (b'{"spec":{"a":{"b":"\\udfff x"}}}', "spec.a.b", "surrogate"),
        (b'{"x":1,"spec":"\\ud800"}', "spec", "surrogate"),
        (b'{"spec":{"\\ud800":1}}', "spec", "surrogate"),
    ],
)
def test_texts_that_no_engine_can_keep(data: bytes, field: str, what: str) -> None:
    code, named, words = refused(data)
    assert (code, named) == ("invalid_field", field)
    assert what in words


@pytest.mark.parametrize(
    ("condition", "field", "what"),
    [
        ('{"contains":"a\\u0000"}', "condition.contains", "NUL"),
        ('{"pointer":"/\\u0000"}', "condition.pointer", "NUL"),
        ('{"pointer":"","equals":{"b":["\\u0000"]}}', "condition.equals.b[0]", "NUL"),
        ('{"pointer":"","equals":["\\ud800"]}', "condition.equals[0]", "surrogate"),
        ('{"pointer":"","equals":1e999}', "condition.equals", "out of range"),
    ],
)
def test_members_of_members_are_looked_at_too(condition: str, field: str, what: str) -> None:
    code, named, words = refused(f'{{"name":"n","job":{{}},"condition":{condition}}}'.encode(), wire.NewSchedule, False)
    assert (code, named) == ("invalid_field", field)
    assert what in words


def test_a_text_in_a_list_is_looked_at_too() -> None:
    assert refused(b'{"after":["one","a\\u0000"]}')[1:] == ("after[1]", "after[1]: holds a NUL character")
    assert refused(b'{"delivery":{"to":"@a\\u0000"}}')[1] == "delivery.to"


def test_an_escaped_backslash_is_no_nul() -> None:
    record, _ = decode(b'{"spec":"\\\\u0000"}')
    assert body.text_of(record.spec) == '"\\\\u0000"'


def test_a_great_many_unknown_members_are_refused_soon() -> None:
    many = json.dumps({f"a{n}": 0 for n in range(80_000)}).encode()
    began = time.monotonic()
    assert refused(many) == ("invalid_field", "body", "body: 80000 members that are not known, at most 100")
    assert decode(json.dumps({f"a{n}": 0 for n in range(100)}).encode())[1] == [f"a{n}" for n in range(100)]
    assert decode(b'{"' + b"q" * 1_000_000 + b'":0}')[1] == ["q" * 1_000_000]
    assert time.monotonic() - began < 5


def test_a_long_name_is_not_repeated_whole() -> None:
    assert len(refused(b'{"' + b"q" * 10_000 + b'":0}', lenient=False)[1]) == 64


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["spec", "meta", "target", "maxAttempts", "label", "requires", "x", "max_attempts"]) | st.text(
    max_size=6
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(members=st.dictionaries(names, json_values, max_size=4), cut=st.integers(0, 60), junk=st.binary(max_size=3))
def test_no_body_is_a_fault_of_the_server(members: dict[str, object], cut: int, junk: bytes) -> None:
    data = json.dumps(members).encode()
    for sent in (data, data[:cut] + junk + data[cut:], data[:cut]):
        for lenient in (True, False):
            try:
                record, _ = decode(sent, lenient=lenient)
            except (BadJson, InvalidField):
                continue
            assert isinstance(record, wire.Submit)


# --- limits, headers, queries ----------------------------------------------------------------------------------------


def test_limits_count_bytes() -> None:
    record, _ = decode('{"spec":"éé","meta":{}}'.encode())
    body.limited(record, {"spec": 6, "meta": 2})
    with pytest.raises(TooLarge) as raised:
        body.limited(record, {"spec": 5})
    assert raised.value.detail == "spec: 6 bytes, at most 5"
    assert raised.value.members == {"field": "spec", "limit": 5}
    text, _ = decode('{"error":"éé"}'.encode(), wire.Fail)
    with pytest.raises(TooLarge):
        body.limited(text, {"error": 3})
    body.limited(decode(b"{}", wire.Fail)[0], {"error": 0})


def test_a_fence_from_the_body_or_the_header() -> None:
    assert body.fence_of(request(), None) is None
    assert body.fence_of(request(), 3) == 3
    assert body.fence_of(request(X_Spine_Fence="7"), None) == 7
    assert body.fence_of(request(X_Spine_Fence="7"), 7) == 7
    with pytest.raises(InvalidField, match="differ"):
        body.fence_of(request(X_Spine_Fence="7"), 8)


@pytest.mark.parametrize("value", ["", "x", "-1", "1.0", "²", "1 2", "9007199254740992", "1" * 5000, "7, 7"])
def test_a_header_that_is_no_fence(value: str) -> None:
    with pytest.raises(InvalidField) as raised:
        body.fence_of(request(X_Spine_Fence=value), None)
    assert raised.value.members["field"] == "X-Spine-Fence"


def test_numbers_of_a_query() -> None:
    assert body.query_number(request("limit=5"), "limit", 1, 10) == 5
    assert body.query_number(request(), "limit", 1, 10) is None


@pytest.mark.parametrize("query", ["n=0", "n=11", "n=x", "n=-1", "n=1.5", "n=1&n=2", "n=" + "9" * 5000, "n=%C2%B2"])
def test_what_is_no_number(query: str) -> None:
    with pytest.raises(InvalidField) as raised:
        body.query_number(request(query), "n", 1, 10)
    assert raised.value.members["field"] == "n"


def test_unknown_parameters() -> None:
    body.known_query(request("a=1&b=2"), "a", "b")
    with pytest.raises(InvalidField, match="c: not a parameter of this route; known: a"):
        body.known_query(request("c=1"), "a")
