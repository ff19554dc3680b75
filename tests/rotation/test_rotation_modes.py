"""A trunk changes to SRTP, which has no keys of the site's, and back, in the steps of any rotation."""

from __future__ import annotations

import pytest
from rotation_case import ENDS, OPTIONS, QUICK, SITE, At

from vosctl.errors import UsageError
from vosctl.rotation.run import resume, rotate
from vosctl.site.model import Encryption
from vosctl.site.read import read_site


def modes(site) -> set[tuple[str, str | None]]:
    found = (site.ask(end, "keys")["trunks"]["ab-metro"] for end in ENDS)
    return {(each["mode"], each["key"]) for each in found}


def stop():
    raise KeyboardInterrupt


def test_to_srtp_and_to_a_key_again(site):
    hung = []
    call = At("stage done", lambda: hung.append(site.call("before", "ab-metro")))
    end = At("wait begun", lambda: [hang_up() for hang_up in hung])
    (report,) = rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK, watchers=[call, end], mode=Encryption.SRTP)
    assert (report["outcome"], report["old"], report["new"]) == ("rotated", "metro-1", "")
    assert modes(site) == {("srtp", None)}
    assert "metro-1" not in site.trunks.read_text()
    assert all("metro-1" not in site.keys(end) for end in ENDS)
    site.call("after", "ab-metro")()
    with pytest.raises(UsageError, match="is srtp: it has no key of ours"):
        rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK)
    (report,) = rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK, mode=Encryption.AES128)
    assert modes(site) == {("aes128", report["new"])}
    assert read_site(SITE)[1].errors == ()
    site.agrees("ab-metro")


@pytest.mark.parametrize("when", ["activate begun", "activate done", "retire begun"])
def test_the_way_back_from_srtp_leaves_the_file_as_it_was(site, when):
    with pytest.raises(KeyboardInterrupt):
        rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK, watchers=[At(when, stop)], mode=Encryption.SRTP)
    (report,) = resume(SITE, OPTIONS, wishes=QUICK, back=True)
    assert report["outcome"] == "aborted"
    assert site.trunks.read_text() == site.text
    assert modes(site) == {("xor", "metro-1")}


def test_the_way_back_to_srtp_leaves_the_file_as_it_was(site):
    rotate(SITE, OPTIONS, ["ab-metro"], wishes=QUICK, mode=Encryption.SRTP)
    before = site.trunks.read_text()
    with pytest.raises(KeyboardInterrupt):
        rotate(
            SITE,
            OPTIONS,
            ["ab-metro"],
            wishes=QUICK,
            watchers=[At("retire begun", stop)],
            mode=Encryption.RC4,
        )
    assert {mode for mode, _ in modes(site)} == {"rc4"}
    resume(SITE, OPTIONS, wishes=QUICK, back=True)
    assert site.trunks.read_text() == before
    assert modes(site) == {("srtp", None)}
