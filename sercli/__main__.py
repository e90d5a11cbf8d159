"""`python -m sercli` is the same as the `sercli` command."""

from sercli.cli.main import main

if __name__ == "__main__":
    main()
