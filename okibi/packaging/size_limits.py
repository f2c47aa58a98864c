"""Lambda's limits for packages, as of November 2026.

Sources:
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        "Deployment package (.zip file archive) size": 50 MB zipped, when uploaded directly; 250 MB
        unzipped, including layers. "Container image code package size": 10 GB uncompressed.
    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html
        ZipFile, and S3Bucket for larger files.

The error of an upload names the exact number of an unzipped package: 262144000 bytes.
"""

from .targets import Target

MB = 1024 * 1024
# The largest zip that an API call may carry. A larger one is uploaded to S3 first.
UPLOAD = 50 * MB
# The largest content of a zip, together with its layers.
UNZIPPED = 250 * MB
# The largest container image, uncompressed.
IMAGE = 10 * 1024 * MB


def unzipped_limit(target: Target) -> int:
    """Return the largest content of a package for the target, in bytes."""
    return IMAGE if target.format in ("image", "runtime") else UNZIPPED


def format_mb(size: int) -> str:
    """Format a number of bytes in MB, as AWS counts them.

    >>> format_mb(1_300_000)
    '1.2 MB'
    """
    return f"{size / MB:,.1f} MB"
