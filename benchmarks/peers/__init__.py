"""The same three operations with okibi, with bare trio, and with other actor libraries.

Each module is a program. It gets four counts (`measure.Counts`), does the same work as its
library's documentation teaches, and prints its figures as one line of JSON. `table` runs the
programs in turn and prints the table.

    call     a request to an echo server and its reply
    cast     a message without a reply, sent and handled; a final call proves that all were
    start    one child started, acknowledged, asked to stop, and ended, under a supervisor where the
             library has one

The asking side is an actor (task, thread, process) too. Times are taken inside the program, after a
warm-up, without its start and imports. Each program may use all cores, which helps Erlang. In one
Python interpreter only one thread runs at a time, and on two cores each wake-up crosses cores. So
Python programs also run on one core, and the better of both counts.
"""
