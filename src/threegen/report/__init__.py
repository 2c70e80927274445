"""One self-contained HTML file that shows what a history found."""
