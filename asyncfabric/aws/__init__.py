"""AWS: credentials, the invocation transport, deployment."""

__all__: list[str] = []
