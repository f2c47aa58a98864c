"""Make recipes from the classes that attrs makes in a recorded start.

`recorder` imports this file in the function's process, so it imports nothing itself except what
Python has imported when it starts. `okibi.runtime.startup.class_recipes` explains a recipe, and
builds classes from it. A class that needs more than a recipe says is refused: attrs makes it at
each start.
"""

import builtins
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType
    from typing import Any

    # A name, the kind of its value, and what the kind needs.
    Entry = tuple[str, str, Any]

# Packages whose classes have recipes. Their classes do not depend on the function's environment.
PACKAGES = ("okibi", "trio", "outcome", "attr")
# Methods that attrs writes as text, and constants that attrs gives to a class.
METHODS = ("__init__", "__attrs_init__", "__eq__", "__hash__", "__repr__")
CONSTANTS = ("__hash__", "__match_args__", "__attrs_own_setattr__")
# Values of `attr._make` that methods and classes have.
OF_ATTRS = ("NOTHING", "_compat", "_config", "__ne__", "_frozen_setattrs", "_frozen_delattrs",
            "evolve", "_OBJ_SETATTR")  # fmt: skip
# What attrs' builder uses when it creates the class.
STATE = ("_attr_names", "_cache_hash", "_slots")
STATE_WITHOUT_SLOTS = ("_delete_attribs", "_has_custom_setattr", "_wrote_own_setattr")
ADDED_LATE = ("__attrs_own_setattr__", "__setattr__")
# On Python 3.14 the class that attrs replaces has lost the last two by then.
NOT_ADDED = ("__attrs_attrs__", "__setstate__", "__dict__", "__weakref__")
ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
SALT_BEGINS = "hash((\n"
FIELD, FACTORY, CONVERTER = "__attr_", "__attr_factory_", "__attr_converter_"
VALIDATOR = "__attr_validator_"


class Refused(Exception):
    """A recipe cannot say how this class is made."""


def write_salt_as_call(source: str, filename: str) -> str:
    """Replace the salt in a text of attrs by the call that makes it.

    attrs writes the hash of a string into each `__hash__`. The hash of a string differs from
    process to process, so an attacker cannot choose values that collide.

    Returns:
        The text, which is the same in each process; "" for a text with another salt.
    """
    if SALT_BEGINS not in source:
        return source
    text = f"<attrs generated hash {filename.rpartition(' ')[2]}"
    called = source.replace(f" {hash(text)},", f" hash({text!r}),")
    return called if called != source else ""


def record_classes(
    make: "Any", file: int, write: "Callable[..., None]"
) -> "Callable[[str, str, int], None]":
    """Write a row about each class of PACKAGES that attrs makes from now on.

    A row has "class", the module, the qualified name, and the parts of the recipe; None instead of
    the parts for a class without a recipe.

    Args:
        make: the module of attrs.
        file: the descriptor of the file to write to.
        write: writes a row.

    Returns:
        A function to call with each text that attrs compiles: the text, file name and flags.
    """
    names: dict[str, Any] = make.__dict__
    plain: Any = names["_ClassBuilder"]
    # Of the class that attrs makes at this moment.
    texts: list[tuple[str, str, int]] = []
    spaces: list[tuple[CodeType, dict[str, Any]]] = []

    def evaluate(code: "CodeType", space: "dict[str, Any]", made: "Any") -> None:
        spaces.append((code, space))
        eval(code, space, made)

    class Builder(plain):  # type: ignore[misc]
        __slots__ = ("arguments", "these")

        def __init__(self, cls: "Any", these: "Any", *rest: "Any", **more: "Any") -> None:
            self.these, self.arguments = these, more
            plain.__init__(self, cls, these, *rest, **more)
            # attrs 24.2 compiles a class for the fields.
            texts.clear()
            spaces.clear()

        def _create_slots_class(self) -> "Any":
            made: Any = plain._create_slots_class(self)
            self.write_recipe(made)
            return made

        def _patch_original_class(self) -> "Any":
            self.write_recipe(None)
            return plain._patch_original_class(self)

        def write_recipe(self, made: "Any") -> None:
            module = str(self._cls.__module__)
            if module.partition(".")[0] not in PACKAGES:
                return
            try:
                recipe = make_recipe(names, self, made, texts, spaces)
            except (Refused, AttributeError, KeyError, TypeError, ValueError):
                recipe = None
            write(file, "class", module, self._cls.__qualname__, recipe)

    names["_ClassBuilder"], names["eval"] = Builder, evaluate
    return lambda text, filename, flags: texts.append((text, filename, flags))


def make_recipe(
    names: "Mapping[str, Any]",
    builder: "Any",
    made: "Any",
    texts: "list[tuple[str, str, int]]",
    spaces: "list[tuple[CodeType, dict[str, Any]]]",
) -> "tuple[Any, ...]":
    """Return the recipe of a class.

    Args:
        names: the names of attrs.
        builder: the builder of the class.
        made: the class with slots that attrs has created; None for a class without.
        texts: the texts of the methods, with file name and flags.
        spaces: the code of the same texts, with the names that it sees.

    Returns:
        The parts of the recipe, which has texts where it will have code.

    Raises:
        Refused: there is no recipe for this class.
    """
    cls: Any = builder._cls
    fields: dict[str, Any] = {each.name: each for each in builder._attrs}
    scripts = tuple(
        (write_salt_as_call(text, filename), filename, flags,
         *describe_space(names, cls, fields, *space))
        for (text, filename, flags), space in zip(texts, spaces, strict=True)
    )  # fmt: skip
    if builder.these is not None or not all(script[0] for script in scripts):
        raise Refused
    own = tuple(name for name, each in fields.items() if not each.inherited)
    state = {name: getattr(builder, name) for name in STATE}
    if made is None:
        state |= {name: getattr(builder, name) for name in STATE_WITHOUT_SLOTS}
        state["_base_names"] = tuple(sorted(builder._base_names))
    if not all(map(is_constant, state.values())):
        raise Refused
    body: dict[str, Any] = {}
    slots: Any = None
    cells: tuple[str, ...] = ()
    additions: dict[str, Any] = {**builder._cls_dict}
    if made is not None:
        body, slots = cls.__dict__, made.__dict__["__slots__"]
        # A cached property, a cached hash, or a field with the slot of a base class.
        if {*slots} - {"__weakref__"} != {*own}:
            raise Refused
        additions |= {name: made.__dict__[name] for name in ADDED_LATE if name in made.__dict__}
        cells = tuple(name for name, value in made.__dict__.items() if made in cell_contents(value))
    added = tuple(
        (name, *describe_addition(names, builder, fields, name, value))
        for name, value in additions.items()
        if name not in NOT_ADDED and (name not in body or body[name] is not value)
    )
    return scripts, own, tuple(state.items()), added, slots, cells


def cell_contents(value: "Any") -> "list[object]":
    """Return the values that the function of an attribute refers to."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    return [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]


def is_constant(value: "Any") -> bool:
    """Whether a value is None, a boolean, or a tuple of strings: no default is among them."""
    if value.__class__ is tuple:
        return {each.__class__ for each in value} <= {str}
    return value is None or value.__class__ is bool


def describe_space(
    names: "Mapping[str, Any]",
    cls: "Any",
    fields: "Mapping[str, Any]",
    code: "CodeType",
    space: "Mapping[str, Any]",
) -> "tuple[bool, tuple[Entry, ...]]":
    """Return whether code sees the names of the class's module, and the other names it sees."""
    module = vars(sys.modules[cls.__module__])
    sees_module = space.get("__spec__") is module["__spec__"]
    entries: list[Entry] = []
    for name in sorted(used_names(code)):
        if name not in space or name == "__builtins__":
            continue
        value = space[name]
        of_module = sees_module and module.get(name) is value
        if name in ("NOTHING", "_compat", "_config") and value is names[name]:
            entries.append((name, "attrs", name))
        elif name == "attr_dict":
            plain = [each for each, field in fields.items() if has_default(names, field)]
            entries.append((name, "defaults", tuple(each for each in plain if each in value)))
        elif name == "_cached_setattr_get" and value == object.__setattr__.__get__:
            entries.append((name, "setter", None))
        elif name.startswith(FACTORY):
            entries.append((name, "factory", name.removeprefix(FACTORY)))
        elif name.startswith(CONVERTER):
            field = name.removeprefix(CONVERTER)
            if getattr(fields[field].converter, "takes_field", False):
                raise Refused
            entries.append((name, "converter", field))
        elif name.startswith(VALIDATOR):
            entries.append((name, "validator", name.removeprefix(VALIDATOR)))
        elif name.startswith(FIELD) and value is fields.get(name.removeprefix(FIELD)):
            entries.append((name, "field", name.removeprefix(FIELD)))
        elif not of_module and value is not builtins.__dict__.get(name):
            raise Refused
    return sees_module, tuple(entries)


def used_names(code: "CodeType") -> "set[str]":
    """Return the global names that code and the functions in it use, and names of attributes."""
    found = {*code.co_names}
    for each in code.co_consts:
        if type(each) is type(code):
            found |= used_names(each)
    return found


def has_default(names: "Mapping[str, Any]", field: "Any") -> bool:
    """Whether a field has a default that is no factory."""
    return field.default is not names["NOTHING"] and not isinstance(field.default, names["Factory"])


def describe_addition(
    names: "Mapping[str, Any]",
    builder: "Any",
    fields: "Mapping[str, Any]",
    name: str,
    value: "Any",
) -> "tuple[str, Any]":
    """Return the kind of a value that attrs adds to a class, and what the kind needs."""
    if name in METHODS and value is not None:
        annotations = tuple(
            (each, *describe_annotation(names, builder._cls, fields, each, of))
            for each, of in value.__annotations__.items()
        )
        return "annotated" if annotations else "method", annotations
    if name in CONSTANTS and is_constant(value):
        return "constant", value
    if name == "__getstate__":
        return "state", None
    if name in ORDER and value.__module__ == builder._cls.__module__ and value is not None:
        if any(each.order_key for each in fields.values()):
            raise Refused
        ordered = tuple(each for each, field in fields.items() if field.order)
        return "order", (ORDER.index(name), ordered)
    for each in OF_ATTRS:
        if each in names and names[each] is value:
            return "attrs", each
    for each, argument in builder.arguments.items():
        if argument is value:
            return "argument", each
    raise Refused


def describe_annotation(
    names: "Mapping[str, Any]", cls: "Any", fields: "Mapping[str, Any]", argument: str, value: "Any"
) -> "tuple[str, Any]":
    """Return where the annotation of a parameter of `__init__` is found."""
    if argument == "return" and value is None:
        return "constant", None
    (field,) = (each for each in fields.values() if each.alias == argument)
    own = cls.__dict__.get(field.name)
    if type(own) is names["_CountingAttr"] and own.type is value and field.converter is None:
        return "type", field.name
    for each in cls.__mro__:
        annotations = names["_get_annotations"](each)
        if field.name in annotations:
            if annotations[field.name] is value and field.converter is None:
                return "annotation", field.name
            break
    converter = getattr(field.converter, "converter", field.converter)
    for parameter, each in getattr(converter, "__annotations__", {}).items():
        if parameter != "return" and each is value:
            return "parameter", (field.name, parameter)
    raise Refused
