"""The application of `web_table`, as a handler for AWS's client."""

from mangum import Mangum
from web_table import app

handler = Mangum(app)
