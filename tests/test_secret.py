"""A Secret shows itself to nobody who does not ask for it by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from vosctl.secret import Secret

VALUE = "k3ySecretValue99"


def test_every_way_of_printing_masks_it() -> None:
    secret = Secret(VALUE)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>20}",
        f"{secret:>20}",
        f"{[secret]} {{{secret}}}",
    ]
    assert all(VALUE not in text for text in shown)
    assert str(secret) == "<secret>"


def test_logs_and_tracebacks_mask_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("t").warning("key %s", secret)
    assert VALUE not in caplog.text
    assert VALUE not in "".join(traceback.format_exception(ValueError(secret)))


def test_it_cannot_be_serialized_or_copied() -> None:
    secret = Secret(VALUE)
    for attempt in (lambda: pickle.dumps(secret), lambda: copy.copy(secret), lambda: json.dumps(secret)):
        with pytest.raises(TypeError):
            attempt()


def test_reveal_and_equality() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "x")
    assert Secret(VALUE) != VALUE
    assert len({Secret(VALUE), Secret(VALUE)}) == 1


def test_fingerprint_is_keyed() -> None:
    one, other = Secret(VALUE).fingerprint(b"a" * 16), Secret(VALUE).fingerprint(b"b" * 16)
    assert one != other
    assert one == Secret(VALUE).fingerprint(b"a" * 16)
    assert len(one) == 8
    assert int(one, 16) >= 0
