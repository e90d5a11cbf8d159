"""The zoo: where students are found."""
