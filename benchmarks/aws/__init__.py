"""okibi on AWS itself: `make aws` deploys, checks, measures and removes."""
