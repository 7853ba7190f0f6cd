"""The daemon: builds the parts, owns the tasks, and is the one writer of the kernel."""
