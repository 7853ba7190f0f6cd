"""What a monitoring set-up *is*: frozen models of kdamonds, contexts, targets and schemes. Values only, no I/O."""
