"""The version of honed: of the package, of what artifacts and certificates say made them, of what caches depend on."""

__version__ = "0.1.0"
