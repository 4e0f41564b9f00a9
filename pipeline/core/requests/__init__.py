"""From messages, manifests and local files to requests."""
