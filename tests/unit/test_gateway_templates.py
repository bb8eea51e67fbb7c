"""Path templates and routes, rule by rule of google/api/http.proto; the rules are quoted."""

from __future__ import annotations

import pytest

from transport.gateway.router import Match, Router
from transport.gateway.templates import parse


def routed(path: str, *templates: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
    """The template that takes a path, and what its variables are."""
    router: Router[str] = Router()
    for template in templates:
        router.add("GET", parse(template), template)
    found = router.find(method, path)
    if not isinstance(found, Match):
        return None
    return found.target, {each.path: each.value(found.segments) for each in found.template.variables}


def captured(path: str, template: str) -> dict[str, str] | None:
    found = routed(path, template)
    return found and found[1]


# Template = "/" Segments [ Verb ] ; Segments = Segment { "/" Segment } ;


@pytest.mark.parametrize(
    "text",
    [
        "/v1",
        "/v1/shelves",
        "/v1/*/books",
        "/v1/**",
        "/v1/{name}",
        "/v1/{a.b_c.d1=shelves/*/books/**}",
        "/v1/{a}/{b}:verb",
        "/v1/users:login",
        "/v1/{name=**}:cancel",
        "/v1/caf%C3%A9",
        "/-._~!$&'()+,;=@",
    ],
)
def test_what_the_grammar_has_is_a_template(text):
    parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "v1/shelves",
        "/v1/",
        "//v1",
        "/v1//a",
        "/v1/{",
        "/v1/}",
        "/v1/{}",
        "/v1/{a",
        "/v1/{a}b",
        "/v1/a{b}",
        "/v1/{a}{b}",
        "/v1/{1a}",
        "/v1/{a.}",
        "/v1/{.a}",
        "/v1/{a-b}",
        "/v1/{a=}",
        "/v1/{a=/b}",
        "/v1/{a=b/}",
        "/v1/a*",
        "/v1/***",
        "/v1/a b",
        "/v1/a?b",
        "/v1/a%2",
        "/v1/a%ff",
        "/v1/é",
        "/v1/a:",
        "/v1/a:b:c",
        "/v1/a:b/c",
        "/v1/a:*",
        "/v1/a:{b}",
        "/v1/{a}/{a}",
        "/v1/a\n",
    ],
)
def test_what_the_grammar_does_not_have_is_refused(text):
    with pytest.raises(ValueError, match=r"must|neither|not the path|twice|UTF-8"):
        parse(text)


# "A variable template must not contain other variables."
def test_a_variable_within_a_variable_is_refused():
    with pytest.raises(ValueError, match=r"must be segments"):
        parse("/v1/{a={b}}")


# "The syntax `**` matches zero or more URL path segments, which must be the last part of the URL path except the
# `Verb`."


@pytest.mark.parametrize("text", ["/v1/**/a", "/v1/{a=**}/b", "/v1/{a=**/b}", "/v1/**/**", "/v1/{a=**}/{b}:c"])
def test_a_double_wildcard_that_is_not_last_is_refused(text):
    with pytest.raises(ValueError, match=r"must be the last part"):
        parse(text)


@pytest.mark.parametrize(
    ("path", "rest"), [("/v1", ""), ("/v1/a", "a"), ("/v1/a/b/c", "a/b/c"), ("/v1/", ""), ("/v1/a//b", "a//b")]
)
def test_a_double_wildcard_matches_zero_or_more_segments(path, rest):
    assert captured(path, "/v1/{name=**}") == {"name": rest}


def test_a_verb_may_follow_a_double_wildcard():
    assert captured("/v1/a/b:cancel", "/v1/{name=**}:cancel") == {"name": "a/b"}
    assert captured("/v1/a/b", "/v1/{name=**}:cancel") is None


# "The syntax `*` matches a single URL path segment."


def test_a_wildcard_matches_one_segment():
    assert captured("/v1/a", "/v1/*") == {}
    assert captured("/v1/a/b", "/v1/*") is None
    assert captured("/v1", "/v1/*") is None


def test_a_wildcard_does_not_match_nothing():
    assert captured("/v1/", "/v1/{name}") is None
    assert captured("/v1//books", "/v1/{name}/books") is None


# "`{var}` is equivalent to `{var=*}`."
def test_a_variable_without_a_template_is_one_segment():
    assert parse("/v1/{var}") == parse("/v1/{var=*}")


# "The syntax `Variable` matches part of the URL path as specified by its template."


def test_a_variable_takes_what_its_template_matches():
    assert captured("/v1/messages/123456", "/v1/{name=messages/*}") == {"name": "messages/123456"}
    assert captured("/v1/letters/123456", "/v1/{name=messages/*}") is None
    assert captured("/v1/a/x/b/y/c", "/v1/{a=a/*}/{b.c=b/*}/c") == {"a": "a/x", "b.c": "b/y"}


# "The path variables must not capture the leading "/" character."
def test_no_variable_has_the_leading_slash():
    assert captured("/a/b", "/{name=**}") == {"name": "a/b"}


# "The syntax `LITERAL` matches literal text in the URL path. If the `LITERAL` contains any reserved character, such
# characters should be percent-encoded before the matching."


@pytest.mark.parametrize("path", ["/v1/a%3Ab", "/v1/a%3ab", "/%76%31/a%3Ab"])
def test_literals_are_compared_decoded(path):
    assert captured(path, "/v1/a%3Ab") == {}


def test_a_literal_is_compared_exactly():
    assert captured("/V1", "/v1") is None
    assert captured("/v1x", "/v1") is None
    assert captured("/v1%2Fshelves", "/v1/shelves") is None


def test_a_wildcard_that_is_encoded_is_a_literal():
    assert captured("/v1/x", "/v1/%2A") is None
    assert captured("/v1/*", "/v1/%2A") == captured("/v1/%2A", "/v1/%2A") == {}


# "If a variable contains exactly one path segment, [...] all characters except `[-_.~0-9a-zA-Z]` are percent-encoded.
# The server side does the reverse decoding."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/a%20b", "a b"),
        ("/v1/a%2Fb", "a/b"),
        ("/v1/a%2fb", "a/b"),
        ("/v1/caf%C3%A9", "café"),
        ("/v1/%25", "%"),
        ("/v1/%2520", "%20"),
        ("/v1/a+b", "a+b"),
        ("/v1/a%3Ab", "a:b"),
        ("/v1/-_.~09azAZ", "-_.~09azAZ"),
    ],
)
@pytest.mark.parametrize("template", ["/v1/{name}", "/v1/{name=*}"])
def test_a_variable_of_one_segment_is_decoded(path, value, template):
    assert captured(path, template) == {"name": value}


def test_a_variable_of_one_literal_is_decoded_too():
    assert captured("/v1/a%2Fb", "/v1/{name=a%2Fb}") == {"name": "a/b"}


# "If a variable contains multiple path segments, [...] all characters except `[-_.~/0-9a-zA-Z]` are percent-encoded.
# The server side does the reverse decoding, except "%2F" and "%2f" are left unchanged."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/foo/a%20b", "foo/a b"),
        ("/v1/foo/a%2Fb", "foo/a%2Fb"),
        ("/v1/foo/a%2fb%3F", "foo/a%2fb?"),
        ("/v1/foo/caf%C3%A9%2f", "foo/café%2f"),
        ("/v1/foo/%252F", "foo/%2F"),
        ("/v1/f%6Fo/x", "foo/x"),
    ],
)
@pytest.mark.parametrize("template", ["/v1/{name=foo/*}", "/v1/{name=**}", "/v1/{name=foo/**}"])
def test_a_variable_of_several_segments_keeps_encoded_slashes(path, value, template):
    assert captured(path, template) == {"name": value}


@pytest.mark.parametrize("path", ["/v1/%", "/v1/a%2", "/v1/%zz", "/v1/%C3", "/v1/%ED%A0%80", "/v1/%c0%af"])
@pytest.mark.parametrize("template", ["/v1/{name}", "/v1/{name=**}"])
def test_what_is_not_encoded_well_is_no_value(path, template):
    with pytest.raises(ValueError, match=r"percent|UTF-8"):
        captured(path, template)


# Verb = ":" LITERAL ;


def test_a_verb_is_what_follows_the_last_colon():
    assert captured("/v1/a:b", "/v1/{name}:b") == {"name": "a"}
    assert captured("/v1/a:x:b", "/v1/{name}:b") == {"name": "a:x"}
    assert captured("/v1/a%3Ab", "/v1/{name}:b") is None
    assert captured("/v1/:b", "/v1/{name}:b") is None
    assert captured("/v1/a:%62", "/v1/{name}:b") == {"name": "a"}


def test_a_colon_before_no_known_verb_belongs_to_the_segment():
    assert routed("/v1/a:c", "/v1/{name}", "/v1/{name}:b") == ("/v1/{name}", {"name": "a:c"})
    assert routed("/v1/a:c/d", "/v1/{name}/d", "/v1/{name}:c") == ("/v1/{name}/d", {"name": "a:c"})


# Which of several templates


SEVERAL = [
    "/v2/users",
    "/v2/users:login",
    "/v2/users/{username}",
    "/v2/users/me",
    "/v2/users/{username}/roles",
    "/v2/users/me/{rest=**}",
    "/v2/accounts/{account_id}:deposit",
    "/v2/{name=**}",
    "/v2/{name=**}:deposit",
]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v2/users", "/v2/users"),
        ("/v2/users:login", "/v2/users:login"),
        ("/v2/users:logout", "/v2/{name=**}"),
        ("/v2/users/alice", "/v2/users/{username}"),
        ("/v2/users/me", "/v2/users/me"),
        ("/v2/users/m%65", "/v2/users/me"),
        ("/v2/users/alice/roles", "/v2/users/{username}/roles"),
        ("/v2/users/me/roles", "/v2/users/me/{rest=**}"),
        ("/v2/users/alice/sessions", "/v2/{name=**}"),
        ("/v2/accounts/1:deposit", "/v2/accounts/{account_id}:deposit"),
        ("/v2/users/alice:deposit", "/v2/{name=**}:deposit"),
        ("/v2", "/v2/{name=**}"),
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
def test_the_most_specific_template_takes_the_path_in_whatever_order_they_came(path, template, turn):
    found = routed(path, *SEVERAL[::turn])
    assert found is not None
    assert found[0] == template


def test_a_less_specific_template_is_taken_where_the_more_specific_one_ends_elsewhere():
    templates = ["/v1/a/b/c", "/v1/{x}/b/d", "/v1/a/{y}/e", "/v1/**"]
    for path, template in [("/v1/a/b/c", 0), ("/v1/a/b/d", 1), ("/v1/a/b/e", 2), ("/v1/a/b/f", 3)]:
        assert routed(path, *templates) == (templates[template], routed(path, templates[template])[1])


def test_two_routes_of_the_same_paths_are_refused():
    router: Router[int] = Router()
    router.add("GET", parse("/v1/{a}/x"), 1)
    router.add("POST", parse("/v1/{b=*}/x"), 2)
    router.add("GET", parse("/v1/{a}/x:verb"), 3)
    with pytest.raises(ValueError, match="two routes are GET"):
        router.add("GET", parse("/v1/*/x"), 4)


# Methods


@pytest.fixture
def by_method() -> Router[str]:
    router: Router[str] = Router()
    for method, template in [
        ("GET", "/v1/{id}"),
        ("POST", "/v1/shelf"),
        ("POST", "/v1/{id}:open"),
        ("*", "/v1/{id}/any"),
        ("PUT", "/v1/{id}/any"),
    ]:
        router.add(method, parse(template), f"{method} {template}")
    return router


def test_a_less_specific_template_is_taken_where_only_it_has_the_method(by_method):
    assert by_method.find("GET", "/v1/shelf").target == "GET /v1/{id}"
    assert by_method.find("POST", "/v1/shelf").target == "POST /v1/shelf"


def test_a_path_without_the_method_says_which_it_has(by_method):
    assert by_method.find("DELETE", "/v1/shelf") == {"GET", "POST"}
    assert by_method.find("DELETE", "/v1/other") == {"GET"}
    assert by_method.find("DELETE", "/v2") == set()


def test_a_verb_that_is_known_is_no_part_of_a_segment_for_other_methods(by_method):
    assert by_method.find("GET", "/v1/1:open") == {"POST"}
    assert by_method.find("GET", "/v1/1:shut").segments == ["v1", "1:shut"]


# "[...] or "*" to leave the HTTP method unspecified for this rule."
def test_any_method_goes_where_none_is_specified(by_method):
    assert by_method.find("BREW", "/v1/1/any").target == "* /v1/{id}/any"
    assert by_method.find("PUT", "/v1/1/any").target == "PUT /v1/{id}/any"
