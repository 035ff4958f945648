"""Models that are reached over HTTP: listing them, and a short generation, in bounded time and bytes.

    listing = list_models(Endpoint(url="http://127.0.0.1:8000", api="openai"), timeouts)
    generation = generate(endpoint, "smollm2", "Who are you?", most_tokens=16, timeouts=timeouts)

Both return a result or a `ServiceFailure`. `http_request` is one request and its response, `events` parses a streamed
answer, `generation` measures one. Standard library only; no proxy is used and no redirect followed.
"""
