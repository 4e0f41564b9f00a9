"""From rows to blocks of series."""
