"""One module per verb: arguments and wiring only; imports of anything heavy inside run()."""
