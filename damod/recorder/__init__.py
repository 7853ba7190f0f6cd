"""The act of recording, in a process of its own: ring pages or snapshots in, segments of a record out."""
