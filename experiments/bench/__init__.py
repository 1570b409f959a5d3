"""Speed and memory of the whole stack, beside what it is built from: ``make bench``."""
