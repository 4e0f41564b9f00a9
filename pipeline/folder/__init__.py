"""Everything in a local folder: output, results, watch, query."""
