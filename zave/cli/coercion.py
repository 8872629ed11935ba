"""Arguments without pydantic where there is nothing to convert.

Typer converts every value with pydantic, defaults and absent ones included; importing it takes
longer than most of zave's commands. What needs converting still goes there.
"""

from typing import Any, Literal, get_args, get_origin


class LightCoercion:
    """Stands before a Typer parameter's own conversion."""

    def __init__(self, parameter: Any) -> None:
        self._own = parameter.get_runtime_param
        self._annotation = parameter.type_descriptor.annotation
        # a parser or a range must see the value
        self._plain = parameter.type_descriptor.parameter_info.parser is None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """What Typer would make of `value`."""
        several = param.multiple or param.nargs == -1
        if value is None or (several and not value):
            return () if several else None
        if self._plain and not several and self._fits(value):
            return value
        return self._own().coerce(value, param=param, ctx=ctx)

    def _fits(self, value: Any) -> bool:
        if get_origin(self._annotation) is Literal:
            return value in get_args(self._annotation)
        return isinstance(self._annotation, type) and type(value) is self._annotation


def lighten(parameters: list[Any]) -> list[Any]:
    """`parameters`, each with the light conversion."""
    for parameter in parameters:
        if "get_runtime_param" not in vars(parameter):
            light = LightCoercion(parameter)
            # an instance attribute, as Typer has no place to say which class a parameter has
            parameter.get_runtime_param = lambda light=light: light
    return parameters
