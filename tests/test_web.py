"""The names of `okibi.web`."""

import subprocess
import sys

import okibi.web

WSGI_ALONE = """
import sys
from okibi.web import WSGI
print([name for name in ("asyncio", "okibi.runtime.adapters.asgi") if name in sys.modules])
"""


def test_each_name_of_okibi_web_is_there() -> None:
    names: dict[str, object] = {}
    exec("from okibi.web import *", names)

    assert {*okibi.web.__all__} <= {*names}


def test_wsgi_imports_neither_asgi_nor_asyncio() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WSGI_ALONE], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"
