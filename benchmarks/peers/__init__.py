"""The same three things done by okibi, by bare trio, and by those one would use instead.

Each file here is one contender: a program that is told four counts (`measure.Counts`), does the
same work in the way its own documentation teaches, and prints what it measured as one line of
JSON. `table` runs them in turns and prints the table.

    call     a request to an echo server and its reply
    cast     a message that is not answered, sent and handled; the last is followed by a call,
             which proves that all were
    start    one child started, acknowledged, asked to stop, and ended, under a supervisor where
             there is one

The asking side is an actor (task, thread, process) too. Times are taken inside the program, after
a warm-up, so neither its start nor its imports count. Each has all cores: where a runtime can use
more than one, as Erlang's, that is its merit. Of one interpreter's threads only one runs at a time,
and on two cores each wakes the other across them: so who is written in Python runs on one core as
well, and has the better of the two.
"""
