"""Answers questions of language models about the weather: an MCP server by streamable HTTP.

`okibi dev app.app` serves it at `/mcp`. Its session manager runs once a sandbox, in the lifespan.
The server keeps no sessions between requests (`stateless_http`), because the next request may reach
another sandbox, and answers each request with one JSON document.
"""

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

TEMPERATURES = {"Oslo": 3.5, "Madrid": 17.0, "Nairobi": 24.5}

server = MCPServer("weather")


@server.tool()
def read_temperature(city: str) -> float:
    """Return the temperature of a city in degrees Celsius."""
    if city not in TEMPERATURES:
        raise ValueError(f"no temperature of {city}: known are {', '.join(TEMPERATURES)}")
    return TEMPERATURES[city]


@server.tool()
async def find_warmest() -> str:
    """Return the warmest city."""
    return max(TEMPERATURES, key=TEMPERATURES.__getitem__)


app = server.streamable_http_app(
    stateless_http=True,
    json_response=True,
    # By default the server takes requests to localhost only. A function URL has a name of its own,
    # and pages of other origins cannot read its answers without CORS.
    transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
)
