"""What local requests read: files, and the rows of queries."""
