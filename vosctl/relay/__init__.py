"""The bundled RTP relay: a control and a media process, their supervisor and their release archive."""
