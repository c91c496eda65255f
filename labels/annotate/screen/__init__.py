"""The full screen of labelling and adjudication, made with Textual; `coding_app` has the application."""
