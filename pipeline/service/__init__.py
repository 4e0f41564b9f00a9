"""The HTTP service: Pub/Sub pushes notifications and manifests to it."""
