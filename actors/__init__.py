"""Actors on trio: mailboxes, servers, names, monitors and timers."""
