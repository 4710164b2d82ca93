"""What workers do in `asyncfabric.bsp`: read chunks, and the two sides of an exchange.

It is here and not beside the driver's half so that a worker imports it without the driver.
"""
