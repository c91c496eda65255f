"""What an estimate is made from: predictions, a labelled sample, and the groups of sentences."""
