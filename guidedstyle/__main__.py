"""`python -m guidedstyle` is the command `guidedstyle`."""

from guidedstyle.run.interrupts import exit_on_interrupt, ignore_closed_terminal


def main() -> None:
    """Run the command line; Ctrl-C ends it also while that is loaded, and a closed terminal does not."""
    exit_on_interrupt()
    ignore_closed_terminal()
    from guidedstyle.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
