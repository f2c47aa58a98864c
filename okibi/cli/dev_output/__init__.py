"""`okibi dev`: serve functions on this machine, as Lambda would."""
