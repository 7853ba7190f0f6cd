"""What monitoring systems get: each metric once (catalog), from the daemon's state (collect), as text (expose)."""
