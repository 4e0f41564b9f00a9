"""Prophet's kinds of growth, as kernels know them."""

LINEAR, LOGISTIC, FLAT = 0, 1, 2
GROWTHS = {"linear": LINEAR, "logistic": LOGISTIC, "flat": FLAT}
