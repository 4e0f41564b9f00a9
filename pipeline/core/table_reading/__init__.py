"""Tables from other formats than files: JSON and Arrow streams."""
