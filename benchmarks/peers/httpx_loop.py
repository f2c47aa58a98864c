"""The Runtime API on trio through httpx: the cost of a general HTTP client."""

import os

import httpx
import trio


async def main() -> None:
    base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        while True:
            event = await client.get(f"{base}/next")
            named = event.headers["lambda-runtime-aws-request-id"]
            await client.post(f"{base}/{named}/response", content=event.content)


if __name__ == "__main__":
    trio.run(main)
