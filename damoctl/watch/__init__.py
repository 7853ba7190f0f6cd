"""The full-screen view of `damoctl watch` and `damoctl report heatmap --interactive_edit`.

What is shown is pure: history -> axis, picture -> view -> model -> screen (lines of text); `app` puts it on a terminal.
"""
