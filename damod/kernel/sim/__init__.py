"""A Linux with DAMON that needs neither: the sysfs tree with its side effects, monitoring, schemes, the trace ring."""
