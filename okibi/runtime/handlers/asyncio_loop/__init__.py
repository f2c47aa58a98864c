"""One lasting asyncio loop beside trio's, for handlers written for asyncio.

Imported only for `Function(loop="asyncio")` or `OKIBI_LOOP=asyncio`, so that other functions do not
pay for asyncio in their cold start.
"""
