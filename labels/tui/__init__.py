"""The labelling and adjudicating screen, in the terminal."""
