"""The environment of a command: settings, plug-ins from other packages, and progress reports."""
