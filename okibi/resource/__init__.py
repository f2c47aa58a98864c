"""Resources that events borrow: a database connection, or the pool of a client.

    DATABASE = Resource(open_pool, lend=AsyncConnectionPool.connection, max_age=600)
    function = Function(handler=handler, children=[Child(DATABASE)])

    async with DATABASE.lend() as connection: ...

This package uses actors and supervisors, and serves any trio program.
"""

from .lender import BorrowerEnded, LendError
from .resource import Lending, Resource

__all__ = ["BorrowerEnded", "LendError", "Lending", "Resource"]
