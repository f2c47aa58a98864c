"""A module that cannot be imported, and leaves its log's pipe full."""

import short_of

short_of.fill_pipe()
raise ValueError("not today")
