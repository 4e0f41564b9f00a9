"""Names of objects in buckets: gs://bucket/name."""

from __future__ import annotations

import posixpath

SCHEME = "gs://"


def is_uri(path: str) -> bool:
    """Return whether a path names something in a bucket."""
    return path.startswith(SCHEME)


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the object's name, or a prefix of names; a name may hold any character."""
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    return bucket, name


def uri_of(bucket: str, name: str) -> str:
    """Return the URI of an object."""
    return f"{SCHEME}{bucket}/{name}"


def generation_number(version: str) -> int:
    """Return the number of a generation; 0 if it is not one, as for a file that did not exist."""
    return int(version) if version.isascii() and version.isdigit() else 0


def folder_prefix(uri: str) -> str:
    """Return a URI that ends in a slash: the prefix of everything below it."""
    return uri if uri.endswith("/") else uri + "/"


def lies_below(uri: str, prefixes: tuple[str, ...] | list[str]) -> bool:
    """Return whether an object is below one of the prefixes; gs://in/a is not below gs://in/ab."""
    return any(uri.startswith(folder_prefix(prefix)) or uri == prefix for prefix in prefixes)


def joined(manifest: str, name: str) -> str:
    """Return the URI of a manifest's `input`, which is a URI or a name relative to the manifest."""
    if is_uri(name):
        bucket, own = split_uri(name)
        return uri_of(bucket, own)
    bucket, own = split_uri(manifest)
    return uri_of(bucket, posixpath.normpath(posixpath.join(posixpath.dirname(own), name)).lstrip("/"))
