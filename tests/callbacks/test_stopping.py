"""Which signals a training heeds, by how it was started."""

import signal

import pytest

from vit.callbacks.stopping import Stopping


@pytest.mark.parametrize("ignored", [False, True])
def test_sigint_is_left_ignored_where_a_shell_began_the_training_so(ignored):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    stopping = Stopping()
    try:
        stopping._listen(stopping._note)
        assert (signal.getsignal(signal.SIGINT) is signal.SIG_IGN) == ignored
        assert signal.getsignal(signal.SIGTERM) == stopping._note
    finally:
        stopping._stop_listening()
        signal.signal(signal.SIGINT, before)
