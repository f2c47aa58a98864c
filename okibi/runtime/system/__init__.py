"""The operating system's clocks, timers, scheduler and allocator."""
