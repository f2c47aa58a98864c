"""A placeholder has the shape of a value, and nothing of the value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okibi.packaging.placeholders import make_placeholder


@pytest.mark.parametrize(
    ("value", "made"),
    [("8080", "7171"), ("0.25", "1.14"), ("-1", "-2"), ("65535", "54424"), ("", ""),
     ("prod", "qqqq"), ("eu-west-1", "qq-qqqq-2"), ("sk_live_4eC39", "qq_qqqq_3qq28"),
     ("a,b, c", "q,q, q"), ("пароль", "qqqqqq"), ("qqq", "qqqq"), ("***", "***q"),
     ("postgresql://bob:pw@db.example.com:5432/shop",
      "postgresql://qqq:qq@qq.qqqqqqq.qqq:4321/qqqq"),
     ("10.0.1.15", "127.0.0.2"), ("redis://10.0.1.15:6379/0", "redis://127.0.0.2:5268/1"),
     ("127.0.0.2", "127.0.0.2q")],
)  # fmt: skip
def test_a_placeholder_has_the_shape_of_its_value(value: str, made: str) -> None:
    assert make_placeholder(value) == made


@given(st.text(min_size=1))
def test_a_placeholder_is_never_its_value(value: str) -> None:
    assert make_placeholder(value) != value
