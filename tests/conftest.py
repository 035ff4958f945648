"""What every test may rely on."""

import signal

# A shell that starts this run in the background ignores SIGINT, and every process below would inherit that: tests of
# ^C would wait for ever. A handler of our own is reset to the default in the programs we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
