"""A class from a recipe is the class that attrs makes."""

import copy
import inspect
import pickle
import re
import sys
import typing
from types import FunctionType, MemberDescriptorType
from typing import Any

import attrs
import pytest

from tests.support.recorded_classes import MODULE, made_module, record, use

DEFINE = """
from functools import partial

slotted = partial(make.attrs, slots=True, auto_attribs=True, auto_detect=True, collect_by_mro=True)
plain = partial(make.attrs, auto_attribs=True)
frozen = partial(slotted, frozen=True)
"""
MADE = f"""
import abc
from typing import ClassVar, Generic, TypeVar

T = TypeVar("T")
{DEFINE}
def double(value: int) -> int:
    return value * 2

def positive(made, field, value):
    if value < 0:
        raise ValueError(field.name)

@frozen
class Empty: ...

@slotted(order=False)
class Point:
    x: int
    y: "int" = 7
    _tags: list = make.Factory(list)
    near: float = make.attrib(default=0.5, kw_only=True, repr=False, eq=False)
    both: object = make.attrib(
        default=make.Factory(lambda self: (self.x, self.y), takes_self=True), init=False
    )
    count: ClassVar[int] = 0

    def __attrs_post_init__(self):
        type(self).count += 1

    def described(self):
        return f"{{__class__.__name__}} of {{super().__repr__}}"

    @classmethod
    def zero(cls):
        return __class__(0)

@slotted
class Point3(Point):
    z: int = make.attrib(default=1, converter=double, validator=positive, alias="depth")

    @property
    def parent(self):
        return super().zero

@frozen
class Key:
    name: str
    number: int = 1

@plain(frozen=True)
class Open(Generic[T]):
    value: T
    spare: T | None = None

@make.attrs
class Old:
    a = make.attrib(type=int)
    b = make.attrib(default=3, repr=True)

@slotted
class Shape(abc.ABC):
    size: int = 1
    @abc.abstractmethod
    def area(self): ...

@slotted
class Square(Shape):
    side: int = 2
    def area(self):
        return self.side ** 2

@slotted
class Own:
    x: int = 1
    def __init__(self):
        self.__attrs_init__(5)
    def __repr__(self):
        return "mine"
"""
NAMES = ["Empty", "Point", "Point3", "Key", "Open", "Old", "Shape", "Square", "Own"]
# Of Python 3.14, which makes the annotations of a class when they are first read.
LAZY_ANNOTATIONS = ("__annotate_func__", "__annotations_cache__")
REFUSED = f"""
from functools import cached_property
{DEFINE}
@slotted(repr=False)
class Cached:
    x: int
    @cached_property
    def twice(self):
        return self.x * 2

@slotted(on_setattr=lambda made, field, value: value)
class Watched:
    x: int

@slotted
class First:
    x: int = 1

@slotted
class Again(First):
    x: int = 2

@slotted
class Shown:
    x: int = make.attrib(repr=lambda x: "x", default=1)

@make.attrs(these={{"x": make.attrib()}})
class These: ...

for number in range(2):
    @slotted
    class Twice:
        x: int = number
"""


def describe(cls: Any) -> dict[str, object]:
    """Everything that a user sees of a class of attrs."""
    attributes = {name: describe_attribute(value) for name, value in cls.__dict__.items()}
    for name in ("__attrs_attrs__", *LAZY_ANNOTATIONS):
        attributes.pop(name, None)
    described = {
        "attributes": attributes,
        "annotations": cls.__annotations__,
        "fields": attrs.fields(cls),
        "names": attrs.fields(cls).__class__.__name__,
        "hints": typing.get_type_hints(cls.__init__, {"T": None}),
        "bases": [base.__name__ for base in cls.__mro__],
        "signature": str(inspect.signature(cls)),
        "abstract": inspect.isabstract(cls),
    }
    return {name: re.sub(" at 0x[0-9a-f]+", "", repr(each)) for name, each in described.items()}


def describe_attribute(value: Any) -> object:
    if isinstance(value, FunctionType):
        names = (value.__module__, value.__qualname__, value.__doc__)
        # attrs and trio write other names into `evolve`.
        is_evolve = value.__code__.co_name == "evolve"
        return is_evolve or (*names, value.__defaults__, value.__annotations__)
    return value.__name__ if isinstance(value, MemberDescriptorType) else value


@pytest.fixture
def log() -> list[str]:
    return []


def test_a_class_from_a_recipe_is_the_class_of_attrs(log: list[str]) -> None:
    recipes = record(MADE)
    make, used = use(recipes, log)

    with made_module(MADE, sys.modules["attr._make"]) as of_attrs:
        expected = {name: describe(of_attrs[name]) for name in NAMES}
    with made_module(MADE, make) as made:
        assert {name: describe(made[name]) for name in NAMES} == expected

    assert [name for name in NAMES if recipes[name] is None] == []
    assert (used.hits, log) == (len(NAMES), [])


def test_objects_of_a_class_from_a_recipe_work_as_ever(log: list[str]) -> None:
    make, _ = use(record(MADE), log)
    with made_module(MADE, make) as made:
        point = made["Point3"](1, depth=4)

        assert repr(point) == "Point3(x=1, y=7, _tags=[], both=(1, 7), z=8)"
        assert point == made["Point3"](1, depth=4)
        assert point.count == 2
        assert point._tags is not made["Point"](1)._tags
        assert point.zero() == made["Point"](0)
        assert point.parent() == made["Point"](0)
        assert make.evolve(made["Key"]("a"), number=2) == made["Key"]("a", 2)
        assert pickle.loads(pickle.dumps(point)) == copy.copy(point) == point
        assert len({made["Key"]("a"), made["Key"]("a"), made["Key"]("b")}) == 2
        assert (made["Square"]().area(), repr(made["Own"]()), made["Own"]().x) == (4, "mine", 5)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            made["Key"]("a").name = "b"
        with pytest.raises(ValueError, match="z"):
            made["Point3"](1, depth=-4)


def test_a_user_s_class_inherits_from_a_class_of_a_recipe(log: list[str]) -> None:
    make, _ = use(record(MADE), log)
    with made_module(MADE, make) as made:
        define = make.attrs(slots=True, auto_attribs=True, collect_by_mro=True, auto_detect=True)
        mine = define(type("Mine", (made["Key"],), {"__annotations__": {"more": int}, "more": 2}))

        assert [field.name for field in make.fields(mine)] == ["name", "number", "more"]
        assert repr(mine("a")) == "Mine(name='a', number=1, more=2)"
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            mine("a").more = 3


def test_two_processes_have_two_salts(log: list[str]) -> None:
    make, _ = use(record(MADE), log)
    text = f"<attrs generated hash {MODULE}.Key>"
    with made_module(MADE, make) as made:
        assert hash(made["Key"]("a", 2)) == hash((hash(text), "a", 2))


def test_a_class_that_a_recipe_cannot_say_has_none() -> None:
    recipes = record(REFUSED)

    assert {name for name, each in recipes.items() if each is None} == {
        "Again", "Cached", "Shown", "These", "Watched",
    }  # fmt: skip


def test_a_recipe_holds_no_default() -> None:
    source = f"{DEFINE}\n@slotted\nclass Secret:\n    key: str = 'correct horse'\n"

    assert "key" in repr(record(source)["Secret"])
    assert "correct horse" not in repr(record(source)["Secret"])


def test_a_module_that_is_not_from_the_image_gets_no_recipe(log: list[str]) -> None:
    make, used = use(record(MADE), log, from_image=False)
    with made_module(MADE, make) as made:
        assert made["Key"]("a") == made["Key"]("a")

    assert (used.hits, log) == (0, [])


def test_a_wrong_recipe_is_one_line_in_the_log(log: list[str]) -> None:
    recipes = record(MADE)
    text, *parts = recipes["Empty"]
    recipes["Empty"] = (text, ("name",), *parts[1:2], (("x", "unknown", 1),), *parts[3:])
    make, used = use(recipes, log)

    with made_module(MADE, make) as made:
        assert repr(made["Empty"]()) == "Empty()"
        assert repr(made["Key"]("a")) == "Key(name='a', number=1)"

    assert len(log) == 1
    assert f"{MODULE}.Empty" in log[0]
    assert used.hits == 0


def test_after_the_start_attrs_makes_all_classes(log: list[str]) -> None:
    make, used = use(record(MADE), log)
    names = set(vars(make))

    used.detach()

    assert "compile" in names
    assert "compile" not in vars(make)
    assert inspect.isclass(make._ClassBuilder)
    with made_module(MADE, make) as made:
        assert made["Key"]("a").number == 1
    assert used.hits == 0


def test_fields_are_made_when_they_are_read(log: list[str]) -> None:
    make, used = use(record(MADE), log)
    with made_module(MADE, make) as made:
        used.detach()
        before = type(vars(made["Key"])["__attrs_attrs__"]).__name__

        assert (before, attrs.has(made["Key"])) == ("LateFields", True)
        assert vars(made["Key"])["__attrs_attrs__"] is make.fields(made["Key"])
