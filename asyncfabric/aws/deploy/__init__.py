"""Deployment to AWS: `asyncfabric deploy` and `asyncfabric destroy`.

What should be there is compared with what is; the difference is a plan of steps, which is printed,
carried out, or written as a CloudFormation template.
"""

__all__: list[str] = []
