from __future__ import annotations

import pytest

from maas_jupyter.api.progress import progress


def test_what_is_done_says_how_long_it_took(capsys):
    with progress("register digits") as step:
        step("exporting")
    assert capsys.readouterr().err.startswith("register digits: 0.")


@pytest.mark.parametrize(("error", "word"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")])
def test_what_is_not_done_says_so(capsys, error, word):
    with pytest.raises(error), progress("evaluate digits"):
        raise error
    assert capsys.readouterr().err.startswith(f"evaluate digits: {word} after 0.")
