"""The labelling screen in a browser, by textual-serve: `server` has the web application."""
