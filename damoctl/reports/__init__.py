"""One module per report: compute() gives a value, render() yields lines, --json prints the value."""
