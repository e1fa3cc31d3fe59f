"""`actfun build`."""

import time

from actfun.cli.common import BadInputError, app, console


@app.command()
def build() -> None:
    """Build the short way to kernels in C++, for this machine, Python and torch: half a minute, once."""
    from actfun.backends import native

    screen = console(120)
    if native.module() is not None:
        screen.print("It is built already, and used.")
        return
    screen.print("Building with the C++ compiler that torch.compile uses; about half a minute ...")
    begun = time.perf_counter()
    try:
        path = native.build()
    except (OSError, RuntimeError) as error:
        raise BadInputError(f"{error}; it needs ninja (pip install ninja) and a C++ compiler, such as g++") from error
    screen.print(f"Built in {time.perf_counter() - begun:.0f} s: {path}. Every process uses it from now on.")
