"""`okibi dev`: several functions, served on this machine as Lambda would."""
