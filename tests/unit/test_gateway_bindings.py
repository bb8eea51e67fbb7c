"""From HTTP to messages and back, rule by rule of google/api/http.proto; the rules are quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.errors import InvalidArgument
from tests.support.protos import Protos
from transport.gateway.bindings import Binding, bindings_of
from transport.gateway.router import Match, Router

SOURCE = """
message Message { string message_id = 1; string text = 2; }
message SubMessage { string subfield = 1; }
message GetMessageRequest { string message_id = 1; int64 revision = 2; SubMessage sub = 3; string user_id = 4; }
message UpdateMessageRequest { string message_id = 1; Message message = 2; string note = 3; }
message ShelfRequest { Message shelf = 1; repeated string tags = 2; bool force = 3; }
message ChoiceRequest { oneof by { string name = 1; SubMessage sub = 2; int64 number = 3; } string other = 4; }
message ListReply { repeated Message items = 1; int32 total = 2; Message first = 3; }
message Kinds { bool flag = 1; Kind kind = 2; bytes raw = 3; double ratio = 4; optional int32 some = 5; }
enum Kind { NONE = 0; SOME = 1; }

service Messaging {
  rpc GetMessage(GetMessageRequest) returns (Message) {
    option (google.api.http) = {
      get: "/v1/messages/{message_id}"
      additional_bindings { get: "/v1/users/{user_id}/messages/{message_id}" }
      additional_bindings { custom { kind: "HEAD" path: "/v1/messages/{message_id}" } }
      additional_bindings { custom { kind: "*" path: "/v1/any/{message_id}" } }
    };
  }
  rpc GetSub(GetMessageRequest) returns (Message) {
    option (google.api.http) = { get: "/v1/messages/{message_id}/{sub.subfield}" };
  }
  rpc UpdateMessage(UpdateMessageRequest) returns (Message) {
    option (google.api.http) = { patch: "/v1/messages/{message_id}" body: "message" };
  }
  rpc PutMessage(Message) returns (Message) {
    option (google.api.http) = { put: "/v1/messages/{message_id}" body: "*" };
  }
  rpc PatchShelf(ShelfRequest) returns (Message) {
    option (google.api.http) = { patch: "/v1/{shelf.message_id=shelves/*}" body: "shelf" };
  }
  rpc Tag(ShelfRequest) returns (Message) {
    option (google.api.http) = { post: "/v1/tags" body: "tags" };
  }
  rpc List(Message) returns (ListReply) {
    option (google.api.http) = { get: "/v1/list" response_body: "items" };
  }
  rpc First(Message) returns (ListReply) {
    option (google.api.http) = { get: "/v1/first" response_body: "first" };
  }
  rpc Choose(ChoiceRequest) returns (Message) {
    option (google.api.http) = { post: "/v1/choices/{number}" body: "*" };
  }
  rpc Pick(Kinds) returns (Message) {
    option (google.api.http) = { delete: "/v1/kinds/{flag}/{kind}/{raw}/{ratio}/{some}" };
  }
  rpc Internal(Message) returns (Message);
}
"""


@pytest.fixture(scope="module")
def protos() -> Protos:
    return Protos(SOURCE)


@pytest.fixture(scope="module")
def router(protos: Protos) -> Router[Binding]:
    router: Router[Binding] = Router()
    for method, request_type in protos.methods("Messaging"):
        for binding in bindings_of(method, request_type):
            router.add(binding.http_method, binding.template, binding)
    return router


@pytest.fixture
def ask(router: Router[Binding]):
    """What a request is as a message."""

    def ask(request: str, body: Any = None) -> Any:
        method, _, target = request.partition(" ")
        path, _, query = target.partition("?")
        match = router.find(method, path)
        assert isinstance(match, Match), match
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return match.target.request(match.segments, query, raw)

    return ask


def refused(ask, request: str, body: Any = None) -> str | None:
    """The field that a request is refused for; None where it is no single one."""
    with pytest.raises(InvalidArgument) as caught:
        ask(request, body)
    return caught.value.fields[0].field if caught.value.fields else None


# "HTTP: `GET /v1/messages/123456?revision=2&sub.subfield=foo`
#  gRPC: `GetMessage(message_id: "123456" revision: 2 sub: SubMessage(subfield: "foo"))`"
def test_what_the_path_does_not_bind_is_in_the_query(ask, protos):
    message = ask("GET /v1/messages/123456?revision=2&sub.subfield=foo")
    sub = protos.message("SubMessage", subfield="foo")
    assert message == protos.message("GetMessageRequest", message_id="123456", revision=2, sub=sub)


# "HTTP: `PATCH /v1/messages/123456 { "text": "Hi!" }`
#  gRPC: `UpdateMessage(message_id: "123456" message { text: "Hi!" })`"
def test_a_body_may_be_one_field(ask, protos):
    message = ask("PATCH /v1/messages/123456", {"text": "Hi!"})
    inner = protos.message("Message", text="Hi!")
    assert message == protos.message("UpdateMessageRequest", message_id="123456", message=inner)


# "All other fields are passed via the URL query parameters."
def test_beside_a_body_of_one_field_the_others_are_in_the_query(ask):
    message = ask("PATCH /v1/messages/1?note=urgent", {"text": "Hi!"})
    assert (message.note, message.message.text) == ("urgent", "Hi!")


# "Fields referred by the HttpRule.body. They are passed via the HTTP request body."
@pytest.mark.parametrize("name", ["message", "message.text"])
def test_what_is_in_the_body_is_not_taken_from_the_query(ask, name):
    assert refused(ask, f"PATCH /v1/messages/1?{name}=x") == "message"


# "HTTP: `PATCH /v1/messages/123456 { "text": "Hi!" }` gRPC: `UpdateMessage(message_id: "123456" text: "Hi!")`"
def test_a_body_may_be_all_that_the_path_does_not_bind(ask, protos):
    message = ask("PUT /v1/messages/123456", {"text": "Hi!"})
    assert message == protos.message("Message", message_id="123456", text="Hi!")


# "If HttpRule.body is "*", there is no URL query parameter, all fields are passed via URL path and HTTP request body."
def test_beside_a_whole_body_there_is_no_query(ask):
    assert refused(ask, "PUT /v1/messages/1?text=x") is None


# "If HttpRule.body is omitted, there is no HTTP request body, all fields are passed via URL path and URL query
# parameters."
def test_without_a_body_there_is_none(ask):
    assert refused(ask, "GET /v1/messages/1", {}) is None
    assert ask("GET /v1/messages/1", b"").message_id == "1"


# "Fields referred by the path template. They are passed via the URL path."
def test_what_is_in_the_path_is_not_taken_from_the_query(ask):
    assert refused(ask, "GET /v1/messages/1?message_id=1") == "message_id"
    assert refused(ask, "GET /v1/messages/1?messageId=1") == "message_id"
    assert refused(ask, "GET /v1/messages/1/2?sub.subfield=x") == "sub.subfield"


def test_a_body_may_say_what_the_path_says_and_nothing_else(ask):
    assert ask("PUT /v1/messages/1", {"messageId": "1", "text": "x"}).message_id == "1"
    assert ask("PUT /v1/messages/1", {"messageId": "", "text": "x"}).message_id == "1"
    assert refused(ask, "PUT /v1/messages/1", {"messageId": "2"}) == "message_id"
    assert ask("PATCH /v1/shelves/1", {"messageId": "shelves/1"}).shelf.message_id == "shelves/1"
    assert refused(ask, "PATCH /v1/shelves/1", {"messageId": "shelves/2"}) == "shelf.message_id"


def test_no_body_at_all_is_an_empty_one(ask, protos):
    assert ask("PUT /v1/messages/1") == protos.message("Message", message_id="1")
    assert not ask("PATCH /v1/messages/1").HasField("message")
    assert not ask("PATCH /v1/messages/1", b"null").HasField("message")


# "It is possible to define multiple HTTP methods for one RPC by using the `additional_bindings` option."
def test_additional_bindings_lead_to_the_same_message(ask, protos):
    message = ask("GET /v1/users/me/messages/123456")
    assert message == protos.message("GetMessageRequest", user_id="me", message_id="123456")
    assert refused(ask, "GET /v1/users/me/messages/1?user_id=you") == "user_id"
    assert ask("GET /v1/messages/1?user_id=you").user_id == "you"


# "The custom pattern is used for specifying an HTTP method that is not included in the `pattern` field, such as HEAD,
# or "*" to leave the HTTP method unspecified for this rule."
def test_a_custom_method_is_a_method(ask):
    assert ask("HEAD /v1/messages/1").message_id == "1"
    assert ask("BREW /v1/any/1").message_id == "1"


# "The path template may refer to one or more fields in the gRPC request message"
def test_a_path_may_have_a_nested_field(ask):
    message = ask("GET /v1/messages/123456/foo?revision=3")
    assert (message.message_id, message.sub.subfield, message.revision) == ("123456", "foo", 3)


# "[...] as long as each field is a non-repeated field with a primitive (non-message) type."
def test_a_path_may_have_every_primitive_type(ask):
    message = ask("DELETE /v1/kinds/true/SOME/aGk_/1.5/0")
    assert (message.flag, message.kind, message.raw, message.ratio, message.some) == (True, 1, b"hi?", 1.5, 0)
    assert message.HasField("some")
    assert ask("DELETE /v1/kinds/false/1/%20/0/1".replace("%20", "aGk%3D")).raw == b"hi"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("1/SOME/aGk/1/0", "flag"),
        ("true/MANY/aGk/1/0", "kind"),
        ("true/SOME/*/1/0", "raw"),
        ("true/SOME/aGk/one/0", "ratio"),
        ("true/SOME/aGk/1/1.5", "some"),
        ("true/SOME/aGk/1/%31%30%zz", "some"),
    ],
)
def test_a_path_that_is_no_value_names_its_field(ask, path, field):
    assert refused(ask, f"DELETE /v1/kinds/{path}") == field


# "If an API needs to use a JSON array for request or response body, it can map the request or response body to a
# repeated field."


def test_a_body_may_be_a_repeated_field(ask):
    assert ask("POST /v1/tags?force=true", ["a", "b"]).tags == ["a", "b"]
    assert refused(ask, "POST /v1/tags", {"tags": ["a"]}) == "tags"
    assert refused(ask, "POST /v1/tags", ["a", 1]) == "tags[1]"


def answered(router: Router[Binding], path: str, response: Any) -> Any:
    match = router.find("GET", path)
    assert isinstance(match, Match)
    return json.loads(match.target.answer(response))


# "The name of the response field whose value is mapped to the HTTP response body."
def test_an_answer_may_be_one_field(router, protos):
    response = protos.message("ListReply", items=[protos.message("Message", text="Hi!")])
    assert answered(router, "/v1/list", response) == [{"messageId": "", "text": "Hi!"}]
    assert answered(router, "/v1/list", protos.message("ListReply")) == []
    assert answered(router, "/v1/first", response) is None


# "When omitted, the entire response message will be used as the HTTP response body."
def test_an_answer_is_the_whole_message_otherwise(router, protos):
    message = protos.message("Message", text="Hi!")
    assert answered(router, "/v1/messages/1", message) == {"messageId": "", "text": "Hi!"}


def test_a_oneof_is_chosen_once_between_path_and_body(ask):
    assert ask("POST /v1/choices/5", {"other": "x"}).WhichOneof("by") == "number"
    assert ask("POST /v1/choices/5", {"number": "5"}).number == 5
    assert refused(ask, "POST /v1/choices/5", {"name": "x"}) == "number"
    assert refused(ask, "POST /v1/choices/5", {"sub": {}}) == "number"


def test_a_method_without_an_annotation_has_no_route(protos):
    by_name = {method.name: (method, kind) for method, kind in protos.methods("Messaging")}
    assert list(bindings_of(*by_name["Internal"])) == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        # "the nesting may only be one level deep"
        (
            'get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }',
            "has additional bindings",
        ),
        ('body: "*"', "names no HTTP method"),
        ('post: "a"', "must be segments"),
        ('get: "/a" body: "*"', "GET has no body"),
        ('delete: "/a" body: "inner"', "DELETE has no body"),
        # "the referred field must be present at the top-level of the request message type"
        ('post: "/a" body: "nothing"', "no field nothing"),
        ('post: "/a" body: "inner.text"', "no field inner.text"),
        # "The referred field must be present at the top-level of the response message type."
        ('get: "/a" response_body: "nothing"', "no field nothing"),
        # "The path variables must not refer to any repeated or mapped field"
        ('get: "/{many}"', "no single field many"),
        ('get: "/{mapped}"', "no single field mapped"),
        ('get: "/{inners.text}"', "no single field inners.text"),
        # "each field is a non-repeated field with a primitive (non-message) type"
        ('get: "/{inner}"', "is a message"),
        ('get: "/{time}"', "is a message"),
        ('get: "/{nothing}"', "no single field nothing"),
        ('get: "/{text.nothing}"', "no single field text.nothing"),
        ('get: "/{camelCase}"', "no single field camelCase"),
    ],
)
def test_an_annotation_that_means_nothing_is_refused_at_once(rule, problem):
    protos = Protos(
        """
        message Inner { string text = 1; }
        message Request {
          Inner inner = 1; repeated string many = 2; map<string, string> mapped = 3; repeated Inner inners = 4;
          google.protobuf.Timestamp time = 5; string text = 6; string camel_case = 7;
        }
        service Service { rpc Method(Request) returns (Inner) { option (google.api.http) = { RULE }; } }
        """.replace("RULE", rule)
    )
    with pytest.raises(ValueError, match=problem) as caught:
        [list(bindings_of(*each)) for each in protos.methods("Service")]
    assert str(caught.value).startswith("example.Service.Method: ")


def test_a_stream_of_requests_is_taken_from_the_body_whole():
    protos = Protos(
        """
        message Request { string text = 1; }
        service Service {
          rpc Method(stream Request) returns (Request) { option (google.api.http) = { post: "/a" body: "text" }; }
        }
        """
    )
    with pytest.raises(ValueError, match="from the body"):
        [list(bindings_of(*each)) for each in protos.methods("Service")]
