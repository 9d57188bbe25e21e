"""What a person sees, without a terminal: all in ``room``, what was said in ``transcript``."""
