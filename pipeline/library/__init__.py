"""What the library `dropcast` stands on."""
