"""The signalling half of the relay: NG protocol, SDP, calls, configuration, admin socket."""
