"""Lambda's limits for a running function, as of November 2026.

Sources:
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        "Invocation payload (request and response)": 6 MB each, synchronous; 1 MB, asynchronous;
        200 MB for a streamed response. "Concurrent executions": 1,000. "Memory allocation".
    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
        Timeout: 1,800 s; 5,400 s on Managed Instances, for asynchronous invocations and event
        sources. MemorySize: up to 32,768 MB on Managed Instances.
    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        X-Amz-Client-Context.
    https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
        MaxItems.

The limits of packages are in `okibi.packaging.size_limits`.
"""

# Bytes of the event of a synchronous invocation.
MAX_EVENT_SIZE = 6 * 1024 * 1024

# Bytes of the event of an asynchronous invocation.
MAX_ASYNCHRONOUS_EVENT_SIZE = 1024 * 1024

# Bytes of a response. The Runtime API allows 100 bytes beyond 6 MB.
MAX_PAYLOAD_SIZE = 6 * 1024 * 1024 + 100

# Bytes of a streamed response.
MAX_STREAM_SIZE = 200 * 1024 * 1024

# Characters of the client context in Base64.
MAX_CLIENT_CONTEXT_SIZE = 3583

# Seconds of an invocation.
MAX_TIMEOUT = 1800

# Seconds of an invocation on Managed Instances.
MAX_MANAGED_TIMEOUT = 5400

# MB of a function.
MIN_MEMORY, MAX_MEMORY = 128, 10_240

# MB of a function on Managed Instances.
MAX_MANAGED_MEMORY = 32_768

# Events at once in a new account.
MAX_CONCURRENCY = 1000

# Functions in one answer of ListFunctions.
MAX_LISTED_FUNCTIONS = 50
