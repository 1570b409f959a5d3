"""What ``assistlearn defer`` does: tables of outcomes in, comparisons, rejectors, decisions out."""
