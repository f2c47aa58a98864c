"""Build classes of attrs from recipes in the start image.

attrs reads the fields of a class, writes its methods as source text, and compiles the text. A start
makes some 50 classes in this way: in okibi, trio and outcome. A recipe has the result, from a
recorded start: the compiled methods, and where each of their values is found in the class body.
attrs itself still creates the class. `__attrs_attrs__` is made when it is first read, by attrs.

A recipe holds no value of a field: defaults, factories, converters and annotations come from the
class body. It is used only for a class whose module comes from the image, and with the attrs that
the image has. Every other class, and one whose recipe fails, is made by attrs alone. A user can see
three differences: `vars` of a class shows a `LateFields` before the fields are read, `linecache`
does not have the text of the methods, and `__hash__` computes its salt, the hash of a string, at
each call.

This module owns these private names of `attr._make`: `compile`, a global that hides Python's while
the module is executed; `_ClassBuilder`, with the attributes in the state of a recipe; and
`_make_order`. `okibi.packaging.recipe_recorder` makes the recipes.
"""

import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from types import CodeType, SimpleNamespace
from typing import Any

ATTRS_MODULE = "attr._make"
BUILDER = "_ClassBuilder"
FIELDS = "__attrs_attrs__"
# The `from __future__` flags of a code object. `compile` takes those of its caller.
FUTURE_FLAGS = 0x1FE0000
# A name, the kind of its value, and what the kind needs.
Entry = tuple[str, str, Any]


# How to build a class.
Recipe = tuple[
    # The code of the methods. Each with whether it sees the names of the class's module, and the
    # other names that it sees.
    tuple[tuple[CodeType, bool, tuple[Entry, ...]], ...],
    # The fields that the class itself defines, in order.
    tuple[str, ...],
    # Attributes of the builder.
    tuple[tuple[str, Any], ...],
    # What attrs adds to the class.
    tuple[Entry, ...],
    # `__slots__`; None for a class without.
    tuple[str, ...] | None,
    # Attributes with a function that refers to the class.
    tuple[str, ...],
]


class ClassRecipes:
    """The recipes of an image.

    Args:
        own_codes: the code of texts that attrs compiles for its own classes, by file name.
        recipes: the recipes by module and qualified name.
        log: writes a line about a recipe that failed.
    """

    def __init__(
        self,
        own_codes: MutableMapping[str, CodeType],
        recipes: dict[str, dict[str, Any]],
        log: Callable[[str], None],
    ) -> None:
        self._own_codes = own_codes
        self._recipes = recipes
        self._usable: dict[str, dict[str, Any]] = {}
        self._log = log
        self._names: MutableMapping[str, Any] = {}
        self._plain: Any = None
        self._builder: Any = None
        self.hits = self.misses = 0

    def add_module(self, name: str) -> None:
        """Use the recipes of a module, whose code comes from the image."""
        if name in self._recipes:
            self._usable[name] = self._recipes.pop(name)

    def attach(self, namespace: MutableMapping[str, Any]) -> None:
        """Answer the calls of `compile` in the module of attrs.

        Args:
            namespace: the module's names, before the module is executed.
        """
        self._names = namespace
        namespace["compile"] = self.compile

    def detach(self) -> None:
        """Let attrs make all classes, and drop the recipes."""
        for each in (self._own_codes, self._recipes, self._usable):
            each.clear()
        if self._names.get("compile") == self.compile:
            del self._names["compile"]
        if self._names.get(BUILDER) == self.choose_builder:
            self._names[BUILDER] = self._plain

    def compile(self, source: Any, filename: Any, mode: str) -> Any:
        """Return the code of a text of attrs.

        The texts of attrs' own classes are the first. The class of builders exists by then.
        """
        if self._plain is None and BUILDER in self._names:
            self._replace_builder()
        code = self._own_codes.pop(filename, None)
        if code is None:
            # As a call without this function between would be.
            flags = sys._getframe(1).f_code.co_flags & FUTURE_FLAGS
            code = compile(source, filename, mode, flags, True)
        return code

    def _replace_builder(self) -> None:
        self._plain = plain = self._names[BUILDER]
        nothing = {
            name: _do_nothing
            for name in plain.__dict__
            if name.startswith(("add_", "make_")) or name == "_eval_snippets"
        }
        names = {"__slots__": ("cells", "slots"), "_create_slots_class": _create_slots_class}
        self._builder = type(BUILDER, (plain,), {**names, **nothing})
        self._names[BUILDER] = self.choose_builder

    def choose_builder(self, cls: Any, these: Any, *rest: Any, **more: Any) -> Any:
        """Return the builder of a class: `_ClassBuilder` for attrs."""
        recipe = self._usable.get(cls.__module__, {}).pop(cls.__qualname__, None)
        if recipe is not None and these is None:
            try:
                builder = self._prepare(recipe, cls, rest, more)
            except Exception as error:
                self._usable.clear()
                self._recipes.clear()
                self._log(f"{cls.__module__}.{cls.__qualname__} has a wrong recipe: {error!r}")
            else:
                self.hits += 1
                return builder
        self.misses += 1
        return self._plain(cls, these, *rest, **more)

    def _prepare(self, recipe: Recipe, cls: Any, rest: Any, more: Mapping[str, Any]) -> Any:
        """Return a builder that has what it adds to the class. The class stays as it is."""
        scripts, own, state, added, slots, cells = recipe
        module, qualname = cls.__module__, cls.__qualname__
        doc = f"Method generated by attrs for class {qualname}."
        find = Values(self._names, cls, own, partial(self._make_fields, rest, more))
        builder = self._builder.__new__(self._builder)
        for name, value in state:
            setattr(builder, name, value)
        names: dict[str, Any] = {}
        if slots is not None:
            names |= cls.__dict__
            for name in (*builder._attr_names, "__dict__", "__weakref__"):
                names.pop(name, None)
        builder._cls, builder._cls_dict, builder.slots, builder.cells = cls, names, slots, cells
        made: dict[str, Any] = {}
        for code, sees_module, entries in scripts:
            space = vars(sys.modules[module]).copy() if sees_module else {}
            for name, kind, of in entries:
                space[name] = getattr(find, kind)(of)
            exec(code, space, made)
        made |= {name: find.order(of) for name, kind, of in added if kind == "order"}
        for method in made.values():
            method.__module__ = module
            method.__qualname__ = f"{qualname}.{method.__name__}"
            method.__doc__ = doc
        names[FIELDS] = find.fields
        for name, kind, of in added:
            if name in made:
                names[name] = method = made[name]
                if kind == "annotated":
                    method.__annotations__ = {each: getattr(find, k)(v) for each, k, v in of}
            elif kind == "argument":
                names[name] = more[of]
            elif kind == "state":
                names["__getstate__"], names["__setstate__"] = builder._make_getstate_setstate()
            else:
                names[name] = getattr(find, kind)(of)
        return builder

    def _make_fields(
        self, rest: Any, more: Mapping[str, Any], cls: Any, own: Mapping[str, Any]
    ) -> Any:
        """Let attrs make the fields of a class."""
        counting, attrib = (self._names[name] for name in ("_CountingAttr", "attrib"))
        these = {
            name: each if type(each) is counting else attrib(each) for name, each in own.items()
        }
        return self._plain(cls, these, *rest, **more)._attrs


def _do_nothing(self: Any, *_: object) -> Any:
    """Take the place of a builder's method: the recipe has its result."""
    return self


def _create_slots_class(builder: Any) -> Any:
    """Create a class with slots: attrs' method of this name, with the answers of the recipe."""
    cls, names = builder._cls, builder._cls_dict
    # Python 3.14.
    getattr(sys, "_clear_type_descriptors", id)(cls)
    names["__slots__"] = builder.slots
    names["__qualname__"] = cls.__qualname__
    created = type(cls)(cls.__name__, cls.__bases__, names)
    for name in builder.cells:
        value = names[name]
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        for cell in function.__closure__:
            with suppress(ValueError):  # the cell is empty
                if cell.cell_contents is cls:
                    cell.cell_contents = created
    return created


class Values:
    """Finds the values that a recipe names, by kind. Each method is a kind.

    Args:
        names: the names of attrs.
        cls: the class.
        own: the fields that the class itself defines.
        make: makes attrs' own objects of the fields.
    """

    def __init__(
        self, names: Mapping[str, Any], cls: Any, own: tuple[str, ...], make: Callable[..., Any]
    ) -> None:
        body, nothing = cls.__dict__, names["NOTHING"]
        self.own: dict[str, Any] = {name: body.get(name, nothing) for name in own}
        self.fields: Any = LateFields(cls, self.own, make)
        self._names, self._cls = names, cls
        self._annotations: Any = None
        self._counting = names["_CountingAttr"]

    def constant(self, value: Any) -> Any:
        """Return a value that every class of attrs may have."""
        return value

    def attrs(self, name: str) -> Any:
        """Return a value of attrs' module."""
        return self._names[name]

    def setter(self, _: Any) -> Any:
        """Return what binds `object.__setattr__`."""
        return object.__setattr__.__get__

    def factory(self, field: str) -> Any:
        """Return the factory of a field."""
        return self._default(field).factory

    def converter(self, field: str) -> Any:
        """Return the function that converts a field's value."""
        converter = self._find(field).converter
        return getattr(converter, "converter", converter)

    def parameter(self, of: tuple[str, str]) -> Any:
        """Return the annotation of a parameter of a field's converter."""
        field, name = of
        return self.converter(field).__annotations__[name]

    def defaults(self, fields: tuple[str, ...]) -> dict[str, Any]:
        """Return the defaults of fields, where attrs has its attributes."""
        return {each: SimpleNamespace(default=self._default(each)) for each in fields}

    def annotation(self, field: str) -> Any:
        """Return the annotation of a field."""
        if self._annotations is None:
            self._annotations = self._names["_get_annotations"](self._cls)
        if field in self._annotations:
            return self._annotations[field]
        of_bases = map(self._names["_get_annotations"], self._cls.__mro__[1:])
        return next(each[field] for each in of_bases if field in each)

    def type(self, field: str) -> Any:
        """Return the type of a field without an annotation."""
        return self.own[field].type

    def validator(self, field: str) -> Any:
        """Return the validator of a field."""
        return self._find(field)._validator

    def field(self, name: str) -> Any:
        """Return attrs' own object of a field."""
        if type(self.fields) is LateFields:
            self.fields = self.fields.make()
        return getattr(self.fields, name)

    def order(self, of: tuple[int, tuple[str, ...]]) -> Any:
        """Return a method that orders by fields."""
        place, fields = of
        attributes = [SimpleNamespace(name=each, order=True, order_key=None) for each in fields]
        return self._names["_make_order"](self._cls, attributes)[place]

    def _find(self, field: str) -> Any:
        """Return what the nearest class has for a field: a default, or an object of attrs."""
        if field in self.own:
            return self.own[field]
        for cls in self._cls.__mro__[1:]:
            fields = cls.__dict__.get(FIELDS, ())
            is_late = type(fields) is LateFields
            own = fields.own if is_late else {each.name: each for each in fields}
            if field in own:
                return own[field]
        raise KeyError(field)

    def _default(self, field: str) -> Any:
        found = self._find(field)
        if type(found) is self._counting:
            return found._default
        return found.default if type(found) is self._names["Attribute"] else found


class LateFields:
    """Stands for `__attrs_attrs__` in a class until it is read (a descriptor).

    Args:
        owner: the class, before attrs creates one with slots.
        own: what the class body has for each of its fields; NOTHING for an annotation alone.
        make: makes the fields. Its arguments are the class and `own`.
    """

    __slots__ = ("_make", "_owner", "own")

    def __init__(self, owner: type, own: dict[str, Any], make: Callable[..., Any]) -> None:
        self._owner, self._make = owner, make
        self.own = own

    def __set_name__(self, owner: type, _name: str) -> None:
        self._owner = owner

    def __get__(self, instance: object, cls: type | None = None) -> Any:
        """Return the fields, made by attrs. The class has them from then on."""
        fields = self.make()
        setattr(self._owner, FIELDS, fields)
        return fields

    def make(self) -> Any:
        """Let attrs make the fields."""
        return self._make(self._owner, self.own)
