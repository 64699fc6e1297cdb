"""The watched process: `python -m traindoctor.watching ORDERS`, started by `traindoctor watch`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the script that stands in the orders, watched."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # Ctrl-C before the script runs is no exception
    import atexit
    import sys

    from traindoctor.codec import loads
    from traindoctor.target.processes import this_rank
    from traindoctor.watching.imports import Imports, compiled, weave_imports
    from traindoctor.watching.orders import Orders
    from traindoctor.watching.script import (
        end_by_signal_if_interrupted,
        end_like_python,
        end_with_parent,
        run_module,
        run_script,
    )
    from traindoctor.watching.session import Session

    atexit.register(end_by_signal_if_interrupted)
    orders = loads(Orders, sys.argv[1])
    end_with_parent(orders.watcher)
    session = Session(orders, this_rank())
    Imports({"torch": session.torch_imported}).install()
    weave_imports()
    session.begin()
    signal.signal(signal.SIGINT, interrupt)
    try:
        if orders.is_module:
            run_module(orders.script, orders.arguments)
        else:
            run_script(orders.script, orders.arguments, compiled)
    except BaseException as error:
        session.end(error)
        end_like_python(error)
    else:
        session.end()


main()
