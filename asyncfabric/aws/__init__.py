"""Amazon Web Services: credentials, the invocation of Lambda functions, their errors.

There is nothing to import from here: `Fabric("lambda://NAME", storage="s3://BUCKET/PREFIX")` and
the command `asyncfabric` use this room. It needs `pip install 'asyncfabric[aws]'`.
"""

__all__: list[str] = []
