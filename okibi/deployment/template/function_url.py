"""The function URL."""

from ...project.settings import UrlSettings
from .intrinsics import Resource


def build_url_config(url: UrlSettings) -> Resource:
    """Build the FunctionUrlConfig. Browsers may call from `cors`, with any method and header.

    SAM adds both permissions that a public URL needs since October 2025.
    """
    config: Resource = {
        "AuthType": url.auth.upper(),
        "InvokeMode": "RESPONSE_STREAM" if url.streaming else "BUFFERED",
    }
    if url.cors:
        config["Cors"] = {
            "AllowOrigins": [*url.cors],
            "AllowMethods": ["*"],
            "AllowHeaders": ["*"],
        }
    return config
