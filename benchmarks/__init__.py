"""What okibi's speed is measured by: ratios, in one run, on one machine."""

import os

# Else each process that is started and timed would compile all that it imports, where whoever
# starts this has that in the environment.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
