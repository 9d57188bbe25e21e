"""Stories as text: what happens, and the exact trace that it has to give.

A story is a file here: comments, commands, and below each command the trace of what came of it,
until the next command. Real nodes play it in the simulator's world, where nothing is left to
chance: each message takes four milliseconds, every clock is right, nobody meddles. After a change
on purpose ``python -m tests.stories --renew`` writes the traces again; the diff is to be read.

- ``runner``: plays a story and gives its trace;
- ``words``: a message in one line.

The commands are in ``tests.simulation.script``, since the simulator opens many runs with a story.
"""
