"""What surrounds a command: settings, plug-ins of other packages, and where progress is reported."""
