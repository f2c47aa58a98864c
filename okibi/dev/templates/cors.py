"""Read a CORS configuration in the forms of function URLs, HTTP APIs and REST APIs."""

from typing import Any

from ..dev_function import Cors
from .template_file import as_mapping, as_text


def read_cors(value: object) -> Cors | None:
    """Read a CORS configuration.

    Args:
        value: a mapping; `true` or a text of origins, as SAM allows; resolved.

    Returns:
        The configuration; None for `false`.

    Raises:
        ValueError: a value is wrong; the message begins with its name.

    >>> read_cors({"AllowOrigins": ["https://a.example"], "MaxAge": "60"}).max_age
    60
    >>> read_cors("'*'").allow_origins
    ('*',)
    """
    if as_text(value) == "false" or value is None:
        return None
    if as_text(value) == "true":
        return Cors(allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    found = as_mapping(value)
    if not found:
        # SAM's short form for a REST API.
        return Cors(allow_origins=_list(value), allow_methods=["*"])
    # A function URL and an HTTP API of SAM write AllowOrigins, a REST API AllowOrigin.
    age = found.get("MaxAge")
    return Cors(
        allow_origins=_list(found.get("AllowOrigins", found.get("AllowOrigin", ()))),
        allow_methods=_list(found.get("AllowMethods", () if "AllowOrigins" in found else "*")),
        allow_headers=_list(found.get("AllowHeaders", ())),
        expose_headers=_list(found.get("ExposeHeaders", ())),
        allow_credentials=as_text(found.get("AllowCredentials", False)) == "true",
        max_age=None if age is None else _integer(age),
    )


def _list(value: Any) -> list[str]:
    """A list, or a text with commas. A REST API's texts have quotes of their own."""
    items = value.split(",") if isinstance(value, str) else value
    return [as_text(item).strip().strip("'") for item in items]


def _integer(value: Any) -> int:
    try:
        return int(str(value).strip("'"))
    except ValueError:
        raise ValueError(f"MaxAge must be an integer (seconds), got {value!r}") from None
