"""What monitoring *says*: snapshots as columns and the arithmetic on them. stdlib only, shared with damoctl."""
