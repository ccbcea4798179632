"""Assemble the `hyperfed` command from its groups, and turn errors into exit codes.

1. A HyperfedError is printed as problem, object, rule and remedy. What a machine or a path can
   cause becomes one (`machine_faults`). Any other error is printed as one line that names --debug,
   which shows the traceback.
2. A group without a command prints its help and ends with 0. Wrong arguments end with 2.
3. With --json the error is a JSON document on stdout, even where the arguments themselves are
   wrong.
4. Nothing heavy is imported before a command runs: not numpy, botocore, nacl or rich.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from hyperfed.cli.interrupts import end_at_once, end_promptly
from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import NO_COMMAND, Entry, LazyGroup
from hyperfed.cli.options import config_option, output_options
from hyperfed.cli.output import CODES, bear_any_text, exit_code_of, leave_stdout, say_error
from hyperfed.errors import ConfigError, HyperfedError
from hyperfed.storage.machine_faults import as_ours, behind_interrupt

__all__ = ["app", "main"]

_CLIENT, _OPERATOR, _RESEARCHER, _ALL = (
    "For a client",
    "For the operator",
    "For a researcher",
    "For everybody",
)
_COMMANDS = {
    "client": Entry(
        "hyperfed.cli.client.client:client",
        "Set up a client, run its night, and print what runs it every night.",
        _CLIENT,
    ),
    "enroll": Entry(
        "hyperfed.cli.client.enroll:enroll",
        "Write the file by which a client asks to take part.",
        _CLIENT,
    ),
    "discover": Entry(
        "hyperfed.cli.client.discover:discover",
        "Discover edges in your data and show them; nothing is sent.",
        _CLIENT,
    ),
    "submit": Entry(
        "hyperfed.cli.client.submit:submit",
        "Discover edges in your data and send what may be shared.",
        _CLIENT,
    ),
    "status": Entry(
        "hyperfed.cli.client.status:status",
        "Show what became of your updates, and whether today's is there.",
        _CLIENT,
    ),
    "pull": Entry(
        "hyperfed.cli.client.pull:pull", "Fetch and verify the newest global model.", _CLIENT
    ),
    "explain": Entry(
        "hyperfed.cli.client.explain:explain",
        "Explain what the model knows of one pair of variables, in sentences.",
        _CLIENT,
    ),
    "compare": Entry(
        "hyperfed.cli.client.compare:compare", "Show what changed between two rounds.", _CLIENT
    ),
    "export": Entry(
        "hyperfed.cli.client.export:export",
        "Write the model for another library: GraphML, dagitty, bnlearn ...",
        _CLIENT,
    ),
    "convert": Entry(
        "hyperfed.cli.client.convert:convert",
        "Read a graph of another library, for submit --edges.",
        _CLIENT,
    ),
    "gossip": Entry(
        "hyperfed.cli.client.gossip:gossip",
        "Average noised messages with your basket, without a coordinator.",
        _CLIENT,
    ),
    "helper": Entry(
        "hyperfed.cli.client.helper:helper",
        "Help to open sums that nobody sees one by one.",
        _CLIENT,
    ),
    "carry": Entry(
        "hyperfed.cli.client.offline_transfer:carry",
        "Carry objects on a stick, for a site without a network.",
        _CLIENT,
    ),
    "registry": Entry(
        "hyperfed.cli.operator.registry:registry",
        "Draft, sign, merge and publish the list of clients and keys.",
        _OPERATOR,
    ),
    "service": Entry(
        "hyperfed.cli.operator.service:service",
        "Put a federation into service on a Prefect server.",
        _OPERATOR,
    ),
    "round": Entry(
        "hyperfed.cli.operator.round:round_group", "Open, run, retry and show rounds.", _OPERATOR
    ),
    "upgrade": Entry(
        "hyperfed.cli.operator.upgrade:upgrade",
        "Say what a new version changes for the federation, before it is installed.",
        _OPERATOR,
    ),
    "schedule": Entry(
        "hyperfed.cli.operator.schedule:schedule", "Show or set when each flow runs.", _OPERATOR
    ),
    "links": Entry(
        "hyperfed.cli.operator.links:links",
        "Make presigned URLs for clients without a cloud account.",
        _OPERATOR,
    ),
    "iam": Entry(
        "hyperfed.cli.operator.iam:iam",
        "Print least-privilege policies for coordinator, clients and auditors.",
        _OPERATOR,
    ),
    "metrics": Entry(
        "hyperfed.cli.operator.metrics:metrics",
        "Export the newest round's figures to Prometheus.",
        _OPERATOR,
    ),
    "relay": Entry(
        "hyperfed.cli.operator.relay:relay",
        "Serve a folder to a federation without an object store.",
        _OPERATOR,
    ),
    "demo": Entry(
        "hyperfed.cli.local.demo:demo",
        "Run a whole federation on this machine, with real data.",
        _RESEARCHER,
    ),
    "simulate": Entry(
        "hyperfed.cli.local.simulate:simulate",
        "Simulate a federation under attack, in one process.",
        _RESEARCHER,
    ),
    "dev": Entry(
        "hyperfed.cli.local.dev:dev",
        "Run a federation's servers on this machine in the background, with Prefect's UI.",
        _RESEARCHER,
    ),
    "check": Entry(
        "hyperfed.cli.local.check:check",
        "Check whether tonight can go well, for people and monitors; try a store of your own.",
        _ALL,
    ),
    "keygen": Entry(
        "hyperfed.cli.operator.keygen:keygen",
        "Make a key pair, in a file that only you can read.",
        _ALL,
    ),
    "report": Entry(
        "hyperfed.cli.local.report:report",
        "Write what the federation knows as a folder of pages.",
        _ALL,
    ),
    "inspect": Entry(
        "hyperfed.cli.operator.inspect:inspect",
        "Show any object of the drop-box, verified and readable.",
        _ALL,
    ),
    "budget": Entry(
        "hyperfed.cli.operator.budget:budget",
        "Show how much of the privacy budget is spent and left; plan a year of nights.",
        _ALL,
    ),
    "audit": Entry(
        "hyperfed.cli.operator.audit:audit",
        "Check every signature, chain and digest of the drop-box.",
        _ALL,
    ),
}


class _App(LazyGroup):
    """Turn every outcome of a command into an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        as_json, debug = "--json" in arguments, "--debug" in arguments
        bear_any_text()
        stdout = sys.stdout
        try:
            code = super().main(
                arguments, prog_name or "hyperfed", complete_var, standalone_mode=False, **extra
            )
            sys.stdout.flush()
            sys.exit(code if type(code) is int else 0)
        except click.exceptions.Abort as error:
            if (fault := behind_interrupt(error)) is not None:
                self._fail(fault, as_json, debug)
            sys.stderr.write("Interrupted.\n")
            sys.exit(130)
        except NO_COMMAND as help_asked_for:
            click.echo(help_asked_for.ctx.get_help())
            sys.exit(0)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "hyperfed"
            self._fail(
                ConfigError(
                    _sentence(error.format_message()),
                    subject=command,
                    remedy=f"See `{command} --help`",
                ),
                as_json,
                debug,
            )
        except click.ClickException as error:
            self._fail(
                ConfigError(_sentence(error.format_message()), subject="hyperfed"), as_json, debug
            )
        except BrokenPipeError:
            leave_stdout()  # the reader is gone, as in `hyperfed inspect | head`
            sys.exit(0)
        except SystemExit:
            if sys.stdout is not stdout:  # click puts another in its place then, and ends with 1
                leave_stdout()
                sys.exit(0)
            raise
        except Exception as error:
            self._fail(error, as_json, debug)

    def _fail(self, error: BaseException, as_json: bool, debug: bool) -> None:
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        error = as_ours(error)
        code = exit_code_of(error)
        if code == 70:
            error = HyperfedError(
                f"unexpected {type(error).__name__}: {error}",
                remedy="Run it again with --debug, and please report it with the traceback",
            )
        try:
            say_error(error, as_json=as_json, code=code)
            sys.stdout.flush()
        except OSError:  # a stdout that takes nothing, which may be what is wrong
            leave_stdout()
            say_error(error, as_json=False, code=code)
        sys.exit(code)


def _sentence(text: str) -> str:
    """Return click's message in the form of our errors: one line, no capital, no full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line[:1].lower() + line[1:]


def _exit_codes() -> str:
    return "\b\n" + "\n".join(
        ["Exit codes:", *(f"  {code:<3} {meaning}" for code, meaning in CODES.items())]
    )


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
    """Run federated causal discovery through an object store: organisations share what they learned
    from their data, never the data.

    Settings come from hyperfed.toml: --config, $HYPERFED_CONFIG, ./hyperfed.toml or
    ~/.config/hyperfed/hyperfed.toml. `hyperfed client init` writes it.

    \b
      [store]
      url = "s3://bucket/prefix"           # or "file:///mnt/share", or "grpc://host:port", a relay
                                           # with ca_file; for S3 also: endpoint, region,
                                           # addressing = "virtual", ca_file
      access_key_file = "store.toml"       # access_key = "..." and secret_key = "...";
                                           # without it, the environment decides
                                           # links = "hospital-1.hfl" replaces all of these
      [federation]
      fingerprint = "..."                  # of the roots: ask the operator on another channel
      [client]
      id = "hospital-1"
      key = "hospital-1.key"               # passphrase: $HYPERFED_PASSPHRASE or a prompt
      memory = "hospital-1.memory.json"    # a record of what this client has seen; keep it
      record_bound = 0.02                  # only if records are protected: you attest how far
                                           # one record may move your effects (L2)
      [data]                               # the options of submit, by their names
      file = "tonight.csv"
      [sharing]                            # what never leaves, whatever a round asks for
      never = ["income"]                   # also: smallest_n, most_edges, digits
      [coordinator]
      key = "coordinator.key"
      [rounds]                             # without a Prefect server: what new rounds are about
      variables = ["output", "employment"] # also: domains, quorum, aggregation_delay_s, poll_s
      [policy]
      vote_min = 0.25                      # or any other field of the policy pack
      [root]
      keys = ["root-1.key"]

    Relative paths are relative to that file.

    \b
    A client, once; then the operator adds hospital-1.enrolment to the registry:
      hyperfed client init --client-id hospital-1 --store s3://fed --fingerprint FINGERPRINT
      hyperfed enroll --organisation "General Hospital"
    and every night:
      hyperfed submit --data series.csv
      hyperfed status
      hyperfed pull
    or all three by a timer:
      hyperfed client timer --data series.csv
    """
    ctx.ensure_object(Invocation)


def main() -> None:
    """Run the `hyperfed` command as a console script."""
    invocation = Invocation()
    end_promptly(lambda: "store" in vars(invocation))
    try:
        app(obj=invocation)
    except KeyboardInterrupt:  # before click listened, or while the first Ctrl-C was answered
        end_at_once()
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    finally:
        end_at_once()
