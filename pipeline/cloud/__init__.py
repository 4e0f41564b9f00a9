"""Google Cloud: the only package that uses its clients. pipeline.core never imports it."""
