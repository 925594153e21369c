"""The command line, ``jobkit``; it needs the extra ``cli``.

Exit statuses: 0 if all went well, 1 if not, 2 for a command that cannot be understood, 124 where
the time was over, 130 after Ctrl-C. Each command has a module of its own.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import NoReturn

from jobkit_async.errors import JobkitError

try:
    import click
    import rich
except ImportError as missing:
    if (missing.name or "").partition(".")[0] not in ("click", "rich"):
        raise
    sys.stderr.write("jobkit needs more to be installed: pip install 'jobkit-async[cli]'\n")
    raise SystemExit(2) from None
else:
    from jobkit_async.cli.call import call_command
    from jobkit_async.cli.demo import demo_command
    from jobkit_async.cli.listing import list_command
    from jobkit_async.cli.serve import serve_command
    from jobkit_async.cli.wait import wait_command

__all__ = ["commands", "main"]

del rich  # which was only looked for


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    try:
        # Not standalone, where click makes Ctrl-C an exit status of 1.
        status = commands.main(prog_name="jobkit", standalone_mode=False)
    except click.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except JobkitError as error:
        click.echo(f"Error: {error}", err=True)
        status = 1
    sys.exit(status)


@click.group()
@click.version_option(version("jobkit-async"), prog_name="jobkit")
def commands() -> None:
    """Run and await the jobs of bsub.io, EcoTaxa, Leia and Vidispine.

    Who you are is taken from environment variables, such as BSUBIO_API_KEY, or asked for.
    """


for _command in (call_command, demo_command, list_command, serve_command, wait_command):
    commands.add_command(_command)
