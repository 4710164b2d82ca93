"""How code travels: functions by value or by name, content-addressed."""

from ._functions import OPTIONS_ATTRIBUTE as OPTIONS_ATTRIBUTE
from ._functions import Shipped as Shipped
from ._functions import is_coroutine_function as is_coroutine_function
from ._functions import ship as ship
from ._named import named as named

__all__ = ["OPTIONS_ATTRIBUTE", "Shipped", "is_coroutine_function", "named", "ship"]
