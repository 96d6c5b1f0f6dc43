"""Given arguments held against a scaffold: put in schema order, or refused with the path that misfits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .canonical import join_path, json_text
from .nodes import Branch, Members, Node, Repeat, SlotShape
from .shape import ConstantsShape, GrammarShape, IntegerShape, NumberShape, StringShape


class MisfitError(ValueError):
    """Arguments that a tool's schema does not allow.

    Attributes:
        path: dotted path of the value, empty for the arguments as a whole.
    """

    def __init__(self, path: str, reason: str) -> None:
        """Say which value does not fit, and why."""
        self.path = path
        super().__init__(f"{path or 'arguments'}: {reason}")


def fitted(node: Node, value: Any, path: str = "") -> Any:
    """The value as this node writes it, keys in schema order.

    Raises:
        MisfitError: it does not fit.
    """
    if isinstance(node, Branch):
        return _fitted_branch(node, value, path)
    if isinstance(node, Members):
        return _fitted_members(node, value, path)
    if isinstance(node, Repeat):
        return _fitted_repeat(node, value, path)
    return _fitted_scalar(node.shape, value, path)


def _fitted_branch(node: Branch, value: Any, path: str) -> Any:
    reasons = []
    for option in node.options:
        try:
            return fitted(option, value, path)
        except MisfitError as misfit:
            reasons.append(str(misfit))
    raise MisfitError(path, "fits no option (" + "; ".join(reasons) + ")")


def _fitted_members(node: Members, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise MisfitError(path, f"expected an object, found {_kind(value)}")
    unknown = [name for name in value if all(name != member.name for member in node.members)]
    if unknown:
        known = ", ".join(member.name for member in node.members) or "none"
        raise MisfitError(join_path(path, str(unknown[0])), f"is not declared (declared: {known})")
    missing = [member.name for member in node.members if member.is_required and member.name not in value]
    if missing:
        raise MisfitError(join_path(path, missing[0]), "is required but missing")
    if len(value) < node.minimum or (node.maximum is not None and len(value) > node.maximum):
        raise MisfitError(path, f"{len(value)} members are too few or too many")
    return {
        member.name: fitted(member.node, value[member.name], join_path(path, member.name))
        for member in node.members
        if member.name in value
    }


def _fitted_repeat(node: Repeat, value: Any, path: str) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise MisfitError(path, f"expected an array, found {_kind(value)}")
    if len(value) < node.minimum:
        raise MisfitError(path, f"{len(value)} items are fewer than {node.minimum}")
    items = []
    for index, item in enumerate(value):
        item_node = node.node_at(index)
        if item_node is None:
            raise MisfitError(path, f"{len(value)} items are more than the {index} that can be written")
        items.append(fitted(item_node, item, join_path(path, index)))
    if node.is_unique and any(same_json(a, b) for i, a in enumerate(items) for b in items[:i]):
        raise MisfitError(path, "items must be unique")
    return items


def _fitted_scalar(shape: SlotShape, value: Any, path: str) -> Any:
    if isinstance(shape, GrammarShape):
        return value
    if isinstance(shape, ConstantsShape):
        for constant in shape.values:
            if same_json(constant, value):
                return constant
        raise MisfitError(path, f"{json_text(value)} is not among the allowed values")
    if isinstance(shape, StringShape):
        return _fitted_string(shape, value, path)
    return _fitted_number(shape, value, path)


def _fitted_string(shape: StringShape, value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise MisfitError(path, f"expected a string, found {_kind(value)}")
    if len(value) < shape.min_length or (shape.max_length is not None and len(value) > shape.max_length):
        raise MisfitError(path, f"a string of {len(value)} characters is too short or too long")
    return value


def _fitted_number(shape: IntegerShape | NumberShape, given: Any, path: str) -> int | float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise MisfitError(path, f"expected a number, found {_kind(given)}")
    value: int | float = given
    if isinstance(shape, IntegerShape) and isinstance(value, float):
        if not value.is_integer():
            raise MisfitError(path, f"expected an integer, found {value}")
        value = int(value)
    low, high = shape.minimum, shape.maximum
    excludes_low = isinstance(shape, NumberShape) and shape.is_minimum_exclusive
    excludes_high = isinstance(shape, NumberShape) and shape.is_maximum_exclusive
    if low is not None and (value < low or (excludes_low and value == low)):
        raise MisfitError(path, f"{value} is below {low}")
    if high is not None and (value > high or (excludes_high and value == high)):
        raise MisfitError(path, f"{value} is above {high}")
    return value


def same_json(left: Any, right: Any) -> bool:
    """Equality as JSON Schema means it: `1` is `1.0`, but neither is `true`."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same_json, left, right))
    return type(left) is type(right) and left == right or _is_number(left) and left == right


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number" if _is_number(value) else type(value).__name__)
