"""sipp scenarios from a list of steps: what one side sends, expects and plays."""

from __future__ import annotations

HEAD = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="%s">\n'
SDP = """\
      v=0
      o=- 1 %d IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
%s"""
AUDIO = ("m=audio [rtpstream_audio_port] RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000", "a=ptime:20")


def _message(head: list[str], body: tuple[str, ...] | None, version: int) -> str:
    lines = [f"      {line}" for line in head]
    if body is not None:
        lines.append("      Content-Type: application/sdp")
    lines += ["      Content-Length: [len]", ""]
    if body is not None:
        lines.append(SDP % (version, "\n".join(f"      {line}" for line in body)))
    return "    <![CDATA[\n\n" + "\n".join(lines) + "\n    ]]>\n"


class Side:
    """Steps of one side; ``text`` is the scenario."""

    def __init__(self, name: str) -> None:
        self._parts = [HEAD % name]
        self._version = 0

    def _send(self, head: list[str], body: tuple[str, ...] | None, *, again: bool) -> None:
        self._version += body is not None
        retrans = ' retrans="500"' if again else ""
        self._parts.append(f"  <send{retrans}>\n{_message(head, body, self._version)}  </send>\n")

    def play(self, file: str) -> Side:
        """Send ``file`` again and again, from now on."""
        self._parts.append(f'  <nop><action><exec rtp_stream="{file},-1,8"/></action></nop>\n')
        return self

    def wait(self, milliseconds: int) -> Side:
        self._parts.append(f'  <pause milliseconds="{milliseconds}"/>\n')
        return self

    @property
    def text(self) -> str:
        return "".join(self._parts) + "</scenario>\n"


class Caller(Side):
    """Sends requests and expects responses."""

    _sequence = 0

    def send(self, method: str, body: tuple[str, ...] | None = None, *headers: str) -> Caller:
        if method != "ACK":
            self._sequence += 1
        first = method == "INVITE" and self._sequence == 1
        target = "sip:[service]@[remote_ip]:[remote_port]" if first else "[next_url]"
        head = [
            f"{method} {target} SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
            *([] if first else ["[routes]"]),
            "From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]from[call_number]",
            "To: <sip:[service]@[remote_ip]:[remote_port]>" + ("" if first else "[peer_tag_param]"),
            "Call-ID: [call_id]",
            f"CSeq: {self._sequence} {method}",
            "Contact: <sip:caller@[local_ip]:[local_port]>",
            "Max-Forwards: 70",
            *headers,
        ]
        self._send(head, body, again=method != "ACK")
        return self

    def expect(self, code: int, *, optional: bool = False) -> Caller:
        # The route of the dialogue is that of its 200: a provisional one may be another fork's.
        more = ' optional="true"' if optional else ' rrs="true"' if code == 200 else ""
        self._parts.append(f'  <recv response="{code}"{more}/>\n')
        return self

    def answered(self, *before: int) -> Caller:
        """The final answer to an INVITE, after some of ``before``."""
        for code in (100, *before):
            self.expect(code, optional=True)
        return self.expect(200)

    def ask(self, what: str) -> Caller:
        """Have the proxy do something with our media."""
        return self.send("INFO", None, f"X-Media: {what}").expect(200)

    def bye(self) -> Caller:
        return self.send("BYE").expect(200)


class Callee(Side):
    """Expects requests and sends responses."""

    _tagged = False

    def expect(self, method: str) -> Callee:
        self._parts.append(f'  <recv request="{method}" rrs="true"/>\n')
        return self

    def reply(self, status: str, body: tuple[str, ...] | None = None) -> Callee:
        tag = "" if self._tagged else ";tag=[pid]to[call_number]"
        head = [
            f"SIP/2.0 {status}",
            "[last_Via:]",
            "[last_From:]",
            f"[last_To:]{tag}",
            "[last_Call-ID:]",
            "[last_CSeq:]",
            "[last_Record-Route:]",
            "Contact: <sip:callee@[local_ip]:[local_port]>",
        ]
        self._send(head, body, again=body is not None and status.startswith("200"))
        return self

    def settle(self) -> Callee:
        """Take the ACK; requests that follow carry our tag already."""
        self.expect("ACK")
        self._tagged = True
        return self

    def bye(self) -> Callee:
        return self.expect("BYE").reply("200 OK")

    def cancelled(self) -> Callee:
        """Take a CANCEL: another branch of the fork has answered."""
        self.expect("CANCEL").reply("200 OK")
        cancel = "[last_CSeq:]"
        before = len(self._parts)
        self.reply("487 Request Terminated")
        self._parts[before:] = [part.replace(cancel, "CSeq: 1 INVITE") for part in self._parts[before:]]
        return self.expect("ACK")
