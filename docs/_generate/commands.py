"""Pages of the commands, from the parser that reads their options."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

from _generate.pages import write
from bglab.__main__ import _parser

# argparse folds lines to the width of the terminal
_WIDTH = "96"


def write_commands(folder: Path) -> None:
    """Write a page per command and the list of them.

    Args:
        folder: Folder of the site's sources.
    """
    os.environ["COLUMNS"] = _WIDTH
    commands = dict(subcommands(_parser()))
    for name, (parser, _help) in commands.items():
        write(folder / "commands" / f"{name}.md", "\n\n".join(_section(parser, 1)) + "\n")
    table = "\n".join(f"| [`bglab {name}`]({name}.md) | {_text(short)} |" for name, (_, short) in commands.items())
    listed = "\n".join(commands)
    write(
        folder / "commands" / "index.md",
        "# Command reference\n\nEvery command prints the same with `--help`. A command ends with status 0 if all that "
        "was asked for is there, 1 if a part is missing, and 2 if nothing could be done.\n\n"
        f"| | |\n|---|---|\n{table}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n",
    )


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, tuple[argparse.ArgumentParser, str]]]:
    """Yield the name of each command with its parser and its line in the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            lines = {choice.dest: (choice.help or "").replace("%%", "%") for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield name, (child, lines.get(name, ""))


def _section(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Yield the paragraphs of a command, and of its own commands after it."""
    yield f"{'#' * level} {parser.prog}"
    if parser.description:
        yield _text(parser.description)
    yield f"```text\n{parser.format_usage().removeprefix('usage: ').rstrip()}\n```"
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
        ]
        if actions:
            title = (group.title or "options").removeprefix("positional ").capitalize()
            yield f"{'#' * (level + 1)} {title}"
            yield from (_entry(parser, action) for action in actions)
    if parser.epilog:
        yield _text(parser.epilog)
    for _, (child, _help) in subcommands(parser):
        yield from _section(child, level + 1)


def _entry(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Write one option as an entry of a definition list."""
    formatter = parser._get_formatter()
    names = ", ".join(f"`{option}`" for option in action.option_strings)
    value = "" if action.nargs == 0 else formatter._format_args(action, _placeholder(action))
    head = " ".join(part for part in (names, f"`{value}`" if value else "") if part)
    text = _text(formatter._expand_help(action)) if action.help else "—"
    return f"{head}\n: {text}"


def _placeholder(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper() if action.option_strings else action.dest


def _text(text: str) -> str:
    """Write plain text as Markdown: options and URIs as code, everything else literally."""
    text = re.sub(r"([\\*_<>|\[\]{}$#])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w`-])(--[a-z][\w-]*)", r"`\1`", text)
