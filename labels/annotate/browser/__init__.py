"""The labelling screen in a browser, by textual-serve: `web_server` has the web application."""
