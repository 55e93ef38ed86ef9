"""`honed version`, or `honed --version`: which one this is. What else there is to know is in `honed doctor`."""

from __future__ import annotations

import sys
from typing import Annotated

from honed.lazy_imports import typer


def version(
    *,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document, with the versions of Python and of what packs weights."),
    ] = False,
) -> None:
    """Print the version.

    \b
    honed --version
    honed version --json
    """
    from honed.version import __version__

    if not json:
        sys.stdout.write(f"honed {__version__}\n")
        return
    import platform

    from honed.cli.output import print_json
    from honed.native import extension

    print_json(
        {
            "honed": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "isa": extension.isas()[0],
            "layout_version": extension.LAYOUT_VERSION,
        }
    )
