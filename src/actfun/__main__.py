"""`python -m actfun` and the command `actfun`."""

import sys


def main() -> None:
    """Run the command line, or say what it lacks."""
    try:
        from actfun._cli import main as run
    except ModuleNotFoundError as error:
        print(f"actfun: the command line needs {error.name}: pip install 'actfun[compare]'", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
