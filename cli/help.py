"""Help texts."""

NO_VALUE = ""  # the metavar of a flag


def examples(*lines: tuple[str, str]) -> str:
    """An epilog of command lines, each with what it does."""
    width = max(len(command) for command, _ in lines)
    return "\n".join(
        ["[bold]Examples[/bold]"]
        + [f"{command.ljust(width)}  [dim]{meaning}[/dim]" for command, meaning in lines]
    )
