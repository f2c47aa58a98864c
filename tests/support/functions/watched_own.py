"""A function that Sentry watches, as a value of okibi's."""

from watched import handler

from okibi.runtime import Function, Workers

function = Function(handler=Workers(handler, count=2))
