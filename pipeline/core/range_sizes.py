"""Sizes of the ranges in which several workers read one large file."""

RANGE_BYTES = 128 << 20  # a range's rows are in memory
LOCAL_RANGE_BYTES = 64 << 20  # on one machine, where all processes share the memory
LEAST_RANGE_BYTES = 8 << 20  # the first range has to have what columns are recognised by
MOST_RANGE_BYTES = 1 << 30
FEWEST_RANGES = 4  # a file is cut if it is larger than so many
