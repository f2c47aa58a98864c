"""The application of `web_table`, as a function of okibi's own."""

from web_table import app

from okibi import Function
from okibi.web import ASGI

streamed = Function(ASGI(app, streams=True))
