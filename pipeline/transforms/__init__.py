"""One public transform a file, thin around the functions of pipeline.core."""

import pipeline.coders  # noqa: F401 - Beam must know the elements before any transform is applied
