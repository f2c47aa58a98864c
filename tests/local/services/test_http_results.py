"""Results of functions as HTTP responses. The rules are documented by AWS or observed on it."""

import json

import pytest

from okibi.local.services.http_results import (
    OutgoingResponse,
    PreludeReader,
    read_function_url_result,
    read_http_api_result,
    read_http_api_result_1,
    read_load_balancer_result,
    read_rest_api_result,
    stream_without_prelude,
)
from okibi.local.services.result_checks import MalformedResult


def url_response(result: object) -> OutgoingResponse:
    return read_function_url_result(json.dumps(result).encode())


def api_response(result: object) -> OutgoingResponse:
    return read_http_api_result(json.dumps(result).encode())


def rest_response(result: object, *binary: str, accept: str = "") -> OutgoingResponse:
    return read_rest_api_result(json.dumps(result).encode(), accept, binary)


def alb_response(result: object, *, multi_value: bool = False) -> OutgoingResponse:
    return read_load_balancer_result(json.dumps(result).encode(), multi_value=multi_value)


# -- payload format 2.0


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ({"hello": "world"}, b'{"hello":"world"}'),
        (["hello", 3, True], b'["hello",3,true]'),
        ("hello", b"hello"),
        ("", b""),
        (3, b"3"),
        (3.1, b"3.1"),
        (True, b"true"),
        (None, b"null"),
    ],
)
def test_a_result_without_status_is_the_body_of_a_json_answer(result: object, body: bytes) -> None:
    expected = OutgoingResponse(200, (("content-type", "application/json"),), body)

    assert url_response(result) == api_response(result) == expected


def test_a_response_carries_status_headers_cookies_and_body() -> None:
    response = url_response(
        {
            "statusCode": 201,
            "headers": {"X-One": "1", "x-number": 5, "x-flag": True, "x-none": None},
            "cookies": ["a=b; HttpOnly", "c=d"],
            "body": "é",
        }
    )

    assert response.status == 201
    assert list(response.headers) == [
        ("content-type", "application/json"),
        ("X-One", "1"),
        ("x-number", "5"),
        ("x-flag", "true"),
        ("set-cookie", "a=b; HttpOnly"),
        ("set-cookie", "c=d"),
    ]
    assert response.body == "é".encode()


def test_the_default_media_type_differs_between_url_and_api() -> None:
    assert dict(url_response({"statusCode": 200}).headers) == {"content-type": "application/json"}
    assert dict(api_response({"statusCode": 200}).headers) == {
        "content-type": "text/plain; charset=utf-8"
    }
    named = {"statusCode": 200, "headers": {"Content-Type": "text/html"}}
    assert list(url_response(named).headers) == [("Content-Type", "text/html")]


def test_a_base64_body_is_decoded() -> None:
    response = url_response({"statusCode": 200, "body": "AAH/", "isBase64Encoded": True})

    assert response.body == b"\x00\x01\xff"


def test_digits_in_a_string_are_a_status() -> None:
    assert url_response({"statusCode": "418", "body": "teapot"}).status == 418


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"statusCode": "two"}, "statusCode must be an integer from 200 to 599, got 'two'"),
        ({"statusCode": 100}, "statusCode must be"),
        ({"statusCode": True}, "statusCode must be"),
        ({"statusCode": None}, "statusCode must be"),
        ({"body": {"a": 1}}, "body must be a string, got an object; write json.dumps(body)"),
        ({"body": "?", "isBase64Encoded": True}, "isBase64Encoded is true, but body is not Base64"),
        ({"headers": ["a"]}, "headers must be an object, got a list"),
        ({"headers": {"a": ["b"]}}, "headers: 'a' must be a string, got a list"),
        ({"headers": {"a b": "c"}}, "headers: 'a b' is no name of a header"),
        ({"headers": {"a": "b\r\nSet-Cookie: c"}}, "headers: 'a' contains a control character"),
        ({"cookies": "a=b"}, "cookies must be a list, got a string"),
    ],
)
def test_a_malformed_response_is_refused_with_what_is_wrong(
    fields: dict[str, object], complaint: str
) -> None:
    for read in (url_response, api_response):
        with pytest.raises(
            MalformedResult, match=complaint.replace("(", r"\(").replace(")", r"\)")
        ):
            read({"statusCode": 200, **fields})


def test_multi_value_headers_are_ignored_with_a_remark() -> None:
    response = api_response({"statusCode": 200, "multiValueHeaders": {"a": ["b"]}})

    assert "multiValueHeaders is ignored" in response.remark
    assert "a" not in dict(response.headers)


def test_the_front_writes_the_framing_headers_itself() -> None:
    result = {
        "statusCode": 200,
        "headers": {"Content-Length": "99", "Transfer-Encoding": "chunked", "Date": "now"},
    }

    assert dict(api_response(result).headers).keys() == {"content-type"}
    assert dict(url_response(result).headers).keys() == {
        "content-type",
        "x-amzn-remapped-content-length",
        "x-amzn-remapped-date",
    }


def test_a_url_that_buffers_sends_the_prelude_as_body() -> None:
    payload = b'{"statusCode":200}' + b"\0" * 8 + b"hello"
    response = read_function_url_result(payload)

    assert response.body == payload
    assert "streaming = true" in response.remark
    with pytest.raises(MalformedResult, match="the response was streamed"):
        read_http_api_result(payload)


# -- streamed responses


def test_a_whole_result_on_a_streaming_url_has_a_remark() -> None:
    whole = stream_without_prelude("application/json", b'{"statusCode":200}')

    assert (whole.status, whole.body) == (200, b'{"statusCode":200}')
    assert "set streaming = false" in whole.remark
    assert stream_without_prelude("application/json", b'{"a":1}').remark == ""
    assert stream_without_prelude("text/csv", b"a,b").headers == (("content-type", "text/csv"),)


def test_a_prelude_may_come_in_any_pieces() -> None:
    prelude = {"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["a=b"]}
    stream = json.dumps(prelude).encode() + b"\0" * 8 + b"hello\0world"
    expected = (("content-type", "text/plain"), ("set-cookie", "a=b"))

    for cut in range(len(stream)):
        reader = PreludeReader()
        response = reader.feed(stream[:cut])
        rest = b""
        if response is None:
            response = reader.feed(stream[cut:])
        else:
            rest = stream[cut:]
        assert response is not None
        assert (response.status, tuple(response.headers)) == (201, expected)
        assert response.body + rest == b"hello\0world"


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"x" * 16385, "no prelude that ends within 16 KB"),
        (b"{" + b"\0" * 8, "the prelude of the stream is not JSON"),
        (b"[]" + b"\0" * 8, "the prelude of the stream must be an object, got a list"),
        (b'{"statusCode":1}' + b"\0" * 8, "statusCode must be"),
    ],
)
def test_a_bad_prelude_is_refused(stream: bytes, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        PreludeReader().feed(stream)


# -- payload format 1.0


@pytest.mark.parametrize(
    ("result", "headers"),
    [
        ({"statusCode": 200}, []),
        ({}, []),
        ({"headers": {"test-header": "value"}}, [("test-header", "value")]),
        ({"statusCode": 200, "headers": {"a": True}}, [("a", "true")]),
        ({"statusCode": 200, "headers": None}, []),
        (
            {"statusCode": 200, "multiValueHeaders": {"a": ["1", "2"]}, "headers": {"a": "3"}},
            [("a", "1"), ("a", "2"), ("a", "3")],
        ),
    ],
)
def test_a_valid_result_of_a_rest_api_is_accepted(
    result: object, headers: list[tuple[str, str]]
) -> None:
    expected = [("content-type", "application/json"), *headers]

    assert rest_response(result) == OutgoingResponse(200, expected)


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ("justAString", "the response must be an object, got a string"),
        (None, "the response must be an object, got null"),
        ({"statusCode": 200, "wrongValue": "value"}, "'wrongValue' is no field"),
        ({"statusCode": 200, "cookies": ["a=b"]}, "'cookies' is no field"),
        ({"statusCode": "test"}, "statusCode must be an integer"),
        ({"statusCode": 200, "body": {"a": 1}}, "body must be a string, got an object"),
        ({"multiValueHeaders": {"a": "b"}}, "multiValueHeaders: 'a' must be a list, got a string"),
        ({"headers": {"a": 5}}, "headers: 'a' must be a string, got a number"),
    ],
)
def test_a_malformed_result_of_a_rest_api_is_refused(result: object, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        rest_response(result)


def test_a_status_may_be_a_string_of_digits() -> None:
    assert rest_response({"statusCode": "201"}).status == 201


@pytest.mark.parametrize(
    ("binary", "accept", "decoded"),
    [
        ((), "image/png", False),
        (("image/png",), "image/png", True),
        (("image/png",), "image/png, */*", True),
        (("image/png",), "image/jpg", False),
        (("image/png",), "image/*", False),
        (("image/png",), "*/*", False),
        (("*/*",), "", True),
    ],
)
def test_a_base64_body_is_decoded_for_a_binary_accept(
    binary: tuple[str, ...], accept: str, decoded: bool
) -> None:
    response = rest_response({"body": "AAE=", "isBase64Encoded": True}, *binary, accept=accept)

    assert response.body == (b"\x00\x01" if decoded else b"AAE=")
    assert bool(response.remark) is not decoded


def api_response_1(result: object) -> OutgoingResponse:
    return read_http_api_result_1(json.dumps(result).encode())


def test_an_http_api_with_format_1_reads_all_values_and_decodes_base64() -> None:
    response = api_response_1(
        {
            "statusCode": 201,
            "headers": {"date": "now", "a": "1"},
            "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
            "cookies": ["c=3"],
            "body": "AAE=",
            "isBase64Encoded": True,
        }
    )

    assert (response.status, response.body) == (201, b"\x00\x01")
    assert response.headers == [
        ("content-type", "text/plain; charset=utf-8"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("a", "1"),
    ]
    assert response.remark.startswith("cookies is ignored in payload format 1.0")


@pytest.mark.parametrize("result", ["text", {"body": "text"}, {"statusCode": 200, "body": {}}])
def test_an_http_api_with_format_1_guesses_no_response(result: object) -> None:
    with pytest.raises(MalformedResult):
        api_response_1(result)


# -- load balancers


def test_a_target_group_may_read_all_values() -> None:
    result = {
        "statusCode": 200,
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"], "content-type": ["text/plain"]},
    }

    assert alb_response(result, multi_value=True) == OutgoingResponse(
        200, [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-type", "text/plain")]
    )
    ignored = alb_response({"statusCode": 200, "headers": {"a": "1"}}, multi_value=True)
    assert ignored.remark == "headers is ignored: this load balancer reads multiValueHeaders"


def test_a_load_balancer_ignores_multi_value_headers() -> None:
    single = {"statusCode": 200, "statusDescription": "200 OK", "headers": {"a": "1"}}
    multi = {"statusCode": 200, "multiValueHeaders": {"a": ["1", "2"]}}
    octets = ("content-type", "application/octet-stream")

    assert alb_response(single) == OutgoingResponse(200, [octets, ("a", "1")])
    assert (
        alb_response(multi).remark
        == "multiValueHeaders is ignored: this load balancer reads headers"
    )


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ("text", "the response must be an object, got a string"),
        ({"body": "x"}, "statusCode must be an integer from 200 to 599, got None"),
        ({"statusCode": 200, "body": 1}, "body must be a string, got a number"),
        ({"statusCode": 200, "body": "x" * 1024 * 1024}, "larger than 1048576 bytes"),
    ],
)
def test_a_malformed_result_is_a_bad_gateway(result: object, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        alb_response(result)
