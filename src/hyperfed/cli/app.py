"""The root of the `hyperfed` command: its groups, and the one place where errors become exit codes.

1. A HyperfedError is printed as problem, object, rule and remedy; anything else as one line and how to get the traceback (--debug).
2. With --json the error is a JSON document on stdout, also where the arguments themselves are wrong.
3. Nothing heavy is imported before a command runs: not numpy, boto3, nacl or rich.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from hyperfed.cli.invocation import Invocation, config_option, output_options
from hyperfed.cli.lazy import Entry, LazyGroup
from hyperfed.cli.output import CODES, exit_code_of, say_error
from hyperfed.errors import ConfigError, HyperfedError

__all__ = ["app", "main"]

_COMMANDS = {
    "keygen": Entry("hyperfed.cli.keygen:keygen", "Make a key pair, in a file that only you can read."),
    "enroll": Entry("hyperfed.cli.enroll:enroll", "Write the file by which a client asks to take part."),
    "submit": Entry("hyperfed.cli.submit:submit", "Discover on your data and send what may be shared."),
    "status": Entry("hyperfed.cli.status:status", "What became of your updates, and whether today's is in."),
    "pull": Entry("hyperfed.cli.pull:pull", "Fetch and verify the newest global model."),
    "carry": Entry("hyperfed.cli.carry:carry", "For a site without a network: on a stick in, and out."),
    "inspect": Entry("hyperfed.cli.inspect:inspect", "Show any object of the drop-box, verified and readable."),
    "registry": Entry("hyperfed.cli.registry:registry", "The list of clients and keys: draft, sign, merge, publish."),
    "links": Entry("hyperfed.cli.links:links", "Presigned URLs for clients without a cloud account (operator)."),
    "round": Entry("hyperfed.cli.round:round_group", "Open, run and look at rounds (operator)."),
    "schedule": Entry("hyperfed.cli.schedule:schedule", "Say or set when each flow runs (operator)."),
    "service": Entry("hyperfed.cli.service:service", "Put a federation into service on a Prefect server (operator)."),
    "iam": Entry("hyperfed.cli.iam:iam", "Least-privilege policies for coordinator, clients and auditors (operator)."),
    "client": Entry("hyperfed.cli.client:client", "Set a client up, and say how it runs every night."),
    "dev": Entry("hyperfed.cli.dev:dev", "All of it on this machine in the background, with Prefect's UI."),
    "budget": Entry("hyperfed.cli.budget:budget", "What of the privacy budget is spent and left; plan a year of nights."),
    "audit": Entry("hyperfed.cli.audit:audit", "Check every signature, chain and digest of the drop-box."),
    "simulate": Entry("hyperfed.cli.simulate:simulate", "A federation under attack, in one process: what would have stood."),
    "demo": Entry("hyperfed.cli.demo:demo", "A whole federation on this machine, with real data."),
}


class _App(LazyGroup):
    """The group that turns every outcome into an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        as_json, debug = "--json" in given, "--debug" in given
        try:
            code = super().main(given, prog_name or "hyperfed", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
            sys.exit(code if type(code) is int else 0)
        except click.exceptions.Abort:
            sys.stderr.write("Interrupted.\n")
            sys.exit(130)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "hyperfed"
            self._fail(ConfigError(_sentence(error.format_message()), subject=command, remedy=f"See `{command} --help`"), as_json, debug)
        except click.ClickException as error:
            self._fail(ConfigError(_sentence(error.format_message()), subject="hyperfed"), as_json, debug)
        except BrokenPipeError:
            sys.stderr.close()  # nobody reads any more, as in `hyperfed inspect | head`
            sys.exit(0)
        except Exception as error:
            self._fail(error, as_json, debug)

    def _fail(self, error: Exception, as_json: bool, debug: bool) -> None:
        code = exit_code_of(error)
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        if code == 70:
            name = type(error).__name__
            hint = HyperfedError(f"unexpected {name}: {error}", remedy="Run it again with --debug for the traceback; please report it with that")
            say_error(hint, as_json=as_json, code=code)
        else:
            say_error(error, as_json=as_json, code=code)
        sys.exit(code)


def _sentence(text: str) -> str:
    """click's message in our form: no capital, no full stop, one line."""
    line = " ".join(text.split()).rstrip(".")
    return line[:1].lower() + line[1:]


def _exit_codes() -> str:
    return "\b\n" + "\n".join(["Exit codes:", *(f"  {code:<3} {meaning}" for code, meaning in CODES.items())])


@click.command(
    cls=_App,
    entries=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=_exit_codes(),
)
@click.version_option(package_name="hyperfed", message="%(prog)s %(version)s")
@config_option
@output_options
@click.pass_context
def app(ctx: click.Context) -> None:
    """Federated causal discovery through an object store: organisations share what they learned from their data, never the data.

    \b
    A client, once:
      hyperfed keygen hospital.key
      hyperfed enroll --client-id hospital-1 --organisation "General Hospital" --key hospital.key
    and every night:
      hyperfed submit --data series.csv
      hyperfed status
      hyperfed pull --out model/

    Settings come from hyperfed.toml: --config, $HYPERFED_CONFIG, ./hyperfed.toml or ~/.config/hyperfed/hyperfed.toml.

    \b
      [store]
      url = "s3://bucket/prefix"           # or "file:///mnt/share"; for S3 also: endpoint, region,
      access_key_file = "store.toml"       # access_key = "..." and secret_key = "..."; else the environment decides
                                           # or instead of all these: links = "hospital-1.hfl", from the operator
      [federation]
      fingerprint = "..."                  # of the registry's roots, compared with the operator on another channel
      [client]
      id = "hospital-1"
      key = "hospital.key"                 # a passphrase comes from $HYPERFED_PASSPHRASE or a prompt
      memory = "hospital.memory.json"      # what this client has seen; keep it
      record_bound = 0.02                  # only where records are protected: how far one may move your effects (L2); you attest it
      [coordinator]
      key = "coordinator.key"
      [root]
      keys = ["root-1.key"]

    Relative paths in it are relative to the file.
    """
    ctx.ensure_object(Invocation)


def main() -> None:
    """The console script."""
    app()
