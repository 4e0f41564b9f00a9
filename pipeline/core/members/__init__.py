"""The members that --model=auto combines, each in a file of its family, and how it combines them."""
