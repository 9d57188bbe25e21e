"""The pictures of the documents, drawn from the product itself; ``docs/pictures`` keeps them.

- ``svg``: a drawing, and how it is written;
- ``sequence``: who says what to whom in a story, by its trace;
- ``chain``, ``marks``: the way of a message, and what each node knows of its log, by a trace;
- ``layers``: which package imports which;
- ``terminal``: a recording of the bundled client while a server dies.

``python -m tests.pictures`` draws them again; a test compares.
"""
