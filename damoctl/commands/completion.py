"""damoctl completion: the script that makes a shell complete damoctl's commands, options and keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  source <(damoctl completion bash)                                   for this shell
  damoctl completion bash >/etc/bash_completion.d/damoctl             for all to come
  damoctl completion zsh >"${fpath[1]}/_damoctl"
  damoctl completion fish >~/.config/fish/completions/damoctl.fish
"""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser("completion", "Print the completion script of a shell.", EXAMPLES)
    made.add_argument("shell", nargs="?", choices=["bash", "zsh", "fish"], default="bash", help="default: bash")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Print the script."""
    args = parser().parse_args(argv)
    from damoctl.complete import SCRIPTS

    ctx.stdout.write(SCRIPTS[args.shell])
    return 0
