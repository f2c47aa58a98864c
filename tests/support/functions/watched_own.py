"""A function with Sentry, as an okibi Function."""

from watched import handler

from okibi.runtime import Function, Workers

function = Function(handler=Workers(handler, count=2))
