"""One self-contained HTML file that shows the results of a history."""
