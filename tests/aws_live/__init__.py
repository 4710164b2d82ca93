"""The real AWS, opt-in: these cost some cents of the account that the environment names.

    asyncfabric deploy --name asyncfabric-live --requirements numpy
    export ASYNCFABRIC_BACKEND=... ASYNCFABRIC_STORAGE=...     # the two lines that deploy prints
    bash tests/run tests/aws_live
    asyncfabric destroy --name asyncfabric-live --delete-bucket

A plain run of the tests doesn't collect this folder. `asyncfabric dev` gives an environment to try
the tests themselves in.
"""
