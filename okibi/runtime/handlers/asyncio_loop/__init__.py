"""One lasting asyncio loop beside trio's, for handlers that are written for asyncio.

Imported only when a function asks for it (`Function(loop="asyncio")`, `OKIBI_LOOP=asyncio`): what
asyncio costs a cold start, no other function pays.
"""
