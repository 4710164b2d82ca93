"""`asyncfabric doctor`: whether this machine, this account and the deployed workers get on."""

__all__: list[str] = []
