"""Schedules of EventBridge: `rate(…)`, `cron(…)` and `at(…)`."""
