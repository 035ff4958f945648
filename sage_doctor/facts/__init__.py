"""Pure readers: what lies on disk and what the host is, without judgement."""
