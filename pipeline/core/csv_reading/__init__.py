"""From the bytes of a CSV to typed rows."""
