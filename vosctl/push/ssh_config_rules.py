"""Which ssh_config keywords are followed, which do not matter here, and which must not be passed over."""

from __future__ import annotations

from vosctl.push.ssh_config_file import Line

# One value; the first one that applies wins.
_FOLLOWED = """
    addressfamily bindaddress ciphers connecttimeout connectionattempts controlmaster controlpersist globalknownhostsfile hashknownhosts
    hostkeyalgorithms hostkeyalias hostname identitiesonly identityagent kexalgorithms macs port proxycommand
    proxyjump pubkeyauthentication serveralivecountmax serveraliveinterval stricthostkeychecking user
    userknownhostsfile
"""
FOLLOWED = frozenset(_FOLLOWED.split())

# Every line that applies adds to them.
LISTS = frozenset({"identityfile", "certificatefile"})

# Nothing of what vosctl does over a connection changes with these.
_HARMLESS = """
    addkeystoagent batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
    canonicalizepermittedcnames casignaturealgorithms challengeresponseauthentication channeltimeout checkhostip
    clearallforwardings compression compressionlevel controlpath dynamicforward
    enableescapecommandline enablesshkeysign escapechar exitonforwardfailure fingerprinthash forkafterauthentication
    forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports gssapiauthentication
    gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange
    gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hostbasedacceptedalgorithms
    hostbasedauthentication hostbasedkeytypes kbdinteractiveauthentication kbdinteractivedevices localcommand
    localforward loglevel logverbose nohostauthenticationforlocalhost numberofpasswordprompts
    obscurekeystroketiming passwordauthentication permitlocalcommand permitremoteopen preferredauthentications
    proxyusefdpass pubkeyacceptedalgorithms pubkeyacceptedkeytypes rekeylimit remoteforward
    requesttty requiredrsasize sendenv setenv skeyauthentication stdinnull streamlocalbindmask streamlocalbindunlink
    syslogfacility tag tcpkeepalive tunnel tunneldevice updatehostkeys useblacklistedkeys usekeychain useroaming
    versionaddendum visualhostkey warnweakcrypto xauthlocation ipqos
"""
HARMLESS = frozenset(_HARMLESS.split())

# With any other value than these the connection would not be the one that was asked for.
REFUSED: dict[str, tuple[str, ...]] = {
    "bindinterface": (),
    "canonicalizehostname": ("no", "none"),
    "knownhostscommand": ("none",),
    "pkcs11provider": ("none",),
    "refuseconnection": (),
    "remotecommand": ("none",),
    "revokedhostkeys": ("none",),
    "securitykeyprovider": ("internal", "$SSH_SK_PROVIDER"),
    "sessiontype": ("default",),
    "verifyhostkeydns": ("no", "false"),
}

_NUMBERS = {"port": 65535, "connectionattempts": 2**31, "serveralivecountmax": 2**31}
_CHOICES = {
    "addressfamily": ("any", "inet", "inet6"),
    "stricthostkeychecking": ("yes", "true", "no", "false", "off", "ask", "accept-new"),
    "controlmaster": ("yes", "true", "no", "false", "ask", "auto", "autoask"),
    "identitiesonly": ("yes", "true", "no", "false"),
    "hashknownhosts": ("yes", "true", "no", "false"),
    "pubkeyauthentication": ("yes", "true", "no", "false", "unbound", "host-bound"),
}


def check(line: Line, *, active: bool, ignored: tuple[str, ...]) -> None:
    """Raise UsageError, with file:line, for a keyword or value that cannot be followed.

    A keyword that nobody knows is wrong wherever it stands (as it is for OpenSSH, unless IgnoreUnknown
    names it in ``ignored``), one that vosctl refuses only where it applies.
    """
    keyword = line.keyword
    if keyword in REFUSED:
        if active:
            _refuse(line)
    elif keyword in FOLLOWED or keyword in LISTS:
        _check_value(line)
    elif keyword not in HARMLESS and not any(_like(keyword, pattern) for pattern in ignored):
        raise line.wrong(
            f"{keyword} is not known", hint="IgnoreUnknown makes OpenSSH and vosctl pass over it"
        )


def _refuse(line: Line) -> None:
    harmless = REFUSED[line.keyword]
    value = " ".join(line.words)
    if value.lower() not in [word.lower() for word in harmless]:
        raise line.wrong(
            f"{line.keyword} {value} is not supported",
            hint="give these nodes a file of their own with --ssh-config or ssh_config",
        )


def _check_value(line: Line) -> None:
    keyword = line.keyword
    if not line.words or not line.words[0]:
        raise line.wrong(f"{keyword} has no value")
    value = line.words[0]
    if keyword in _NUMBERS and not (value.isdecimal() and 0 < int(value) <= _NUMBERS[keyword]):
        raise line.wrong(f"{keyword} {value}: a number from 1 to {_NUMBERS[keyword]} is wanted")
    if keyword in _CHOICES and value.lower() not in _CHOICES[keyword]:
        raise line.wrong(f"{keyword} {value}: one of {', '.join(_CHOICES[keyword])} is wanted")
    if keyword in ("connecttimeout", "serveraliveinterval"):
        seconds(line)
    if keyword == "controlpersist" and value.lower() not in ("yes", "true", "no", "false"):
        seconds(line)


def seconds(line: Line) -> float | None:
    """Return a time in the form of sshd_config(5), ``90``, ``1m30s`` or ``2h``; None for ``none`` and 0."""
    value, total, number = line.words[0].lower(), 0, ""
    if value == "none":
        return None
    for char in value + "s":
        if char.isdecimal():
            number += char
        elif char in "smhdw" and number:
            total += int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[char]
            number = ""
        elif not (char == "s" and value[-1] in "smhdw"):
            raise line.wrong(f"{line.keyword} {value} is no time")
    return float(total) or None


def _like(keyword: str, pattern: str) -> bool:
    return matches(keyword, pattern.lower())


def matches(text: str, pattern: str) -> bool:
    """Whether ``text`` fits a pattern of ssh_config(5), which knows ``*`` and ``?``."""
    at, star, mark = 0, -1, 0
    here = 0
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[here]):
            at += 1
            here += 1
        elif star >= 0:
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")


def listed(text: str, patterns: str) -> bool:
    """Whether ``text`` fits a list of patterns with commas; a ``!pattern`` that fits rules it out."""
    found = False
    for pattern in patterns.split(","):
        if pattern.startswith("!") and matches(text, pattern[1:]):
            return False
        found = found or (not pattern.startswith("!") and matches(text, pattern))
    return found
