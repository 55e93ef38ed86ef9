"""One module a target, each with `TARGET`."""
