"""lm-eval's own command line, with honed among its models: `python -m honed.cli.lm_eval --model honed --model_args
pretrained=MODEL --tasks NAMES`.

lm-eval reads no entry points of other packages, so that its command cannot find a model by itself. All options are its
own.
"""

from __future__ import annotations

import sys

from honed.api.evaluation.lm_eval_model import register
from honed.errors import HonedError


def main() -> None:
    """Registers the model, then hands over."""
    try:
        register()
    except HonedError as error:
        sys.stderr.write(f"honed: {error}\n")
        raise SystemExit(error.exit_code) from None
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
