"""What okibi's speed is measured by: ratios, in one run, on one machine."""
