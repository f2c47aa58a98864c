"""User code as the runtime sees it: the function, its handlers, what they get and give."""
