"""What a person sees, without a terminal: ``room`` has it all, ``transcript`` what was said."""
