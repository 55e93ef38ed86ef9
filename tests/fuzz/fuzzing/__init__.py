"""The engine of the fuzz targets: mutations that know formats, and a process with limits for what they make."""
