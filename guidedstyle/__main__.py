"""`python -m guidedstyle` is the command `guidedstyle`."""

from guidedstyle.cli import main

main()
