"""The media process: a C data plane that relays RTP, and the host that takes control's commands."""
