"""Events into values, results into bytes."""
