"""Every finding, declared once: code, severity, title, cause, fix, and how it is made. One file a family."""
